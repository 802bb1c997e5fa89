"""What a running `lpstream up` leaves for other commands, readable by its owner only.

`doors.json` says where each door is; `settings.json` holds the `LPSTREAM_*` that its services have.
"""

import json
import os
from pathlib import Path
from typing import Any

from schemas.errors import LpstreamError

DOORS, SETTINGS = "doors.json", "settings.json"


def write_addresses(data: Path, doors: dict[str, Any], settings: dict[str, str]) -> None:
    """Write both files, each whole or not at all."""
    _write(data, SETTINGS, settings)
    _write(data, DOORS, doors)


def _write(data: Path, name: str, value: dict[str, Any]) -> None:
    partial = data / f"{name}.{os.getpid()}"
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(value, out, indent=2)
    partial.replace(data / name)


def remove_addresses(data: Path) -> None:
    """The stack is gone."""
    for name in (DOORS, SETTINGS):
        (data / name).unlink(missing_ok=True)


def read_addresses(data: Path) -> dict[str, Any]:
    """The doors of a running stack; LpstreamError when there is none, or when it was killed."""
    doors = _read(data, DOORS)
    if not any(_alive(int(service["pid"])) for service in doors["services"].values()):
        raise LpstreamError(f"the stack of {data} does not run any more: start it again with `lpstream up`")
    return doors


def read_settings(data: Path) -> dict[str, str]:
    """The settings of a running stack's services, by environment variable; LpstreamError as `read_addresses`."""
    read_addresses(data)
    return _read(data, SETTINGS)


def _read(data: Path, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((data / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LpstreamError(
            f"no stack runs on {data}: start one with `lpstream up`, or set LPSTREAM_* addresses"
        ) from error
    except (OSError, ValueError) as error:
        raise LpstreamError(f"{data / name} cannot be read: {error}") from error
    return found


def _alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()
