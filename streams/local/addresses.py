"""Files that a running `lpstream up` writes for other commands, readable by their owner only.

`doors.json` holds the address of each service; `settings.json` holds the `LPSTREAM_*` settings of the services.
"""

import json
import os
import shlex
from pathlib import Path
from typing import Any

from schemas.errors import LpstreamError

DEFAULT_DATA = Path(".lpstream")
DOORS, SETTINGS = "doors.json", "settings.json"
ADDRESSES = ("edge", "api", "token", "kafka", "clickhouse", "redis", "s3")
# raised for a file of another shape
WRONG = (AttributeError, KeyError, TypeError, ValueError)


def data_option(data: Path) -> str:
    """Return ` --data DIR` for a command line in a message, or "" for the default folder."""
    return "" if data == DEFAULT_DATA else f" --data {shlex.quote(str(data))}"


def write_addresses(data: Path, doors: dict[str, Any], settings: dict[str, str]) -> None:
    """Write both files, each atomically."""
    _write(data, SETTINGS, settings)
    _write(data, DOORS, doors)


def _write(data: Path, name: str, value: dict[str, Any]) -> None:
    partial = data / f"{name}.{os.getpid()}"
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(value, out, indent=2)
    partial.replace(data / name)


def remove_addresses(data: Path) -> None:
    """Remove both files when the stack stops."""
    for name in (DOORS, SETTINGS):
        (data / name).unlink(missing_ok=True)


def read_addresses(data: Path) -> dict[str, Any]:
    """Return the addresses of a running stack; raise LpstreamError if none runs, or if it was killed."""
    doors = _read(data, DOORS)
    try:
        runs = any(_alive(int(service["pid"])) for service in doors["services"].values())
        if runs:
            return {"services": doors["services"], **{name: str(doors[name]) for name in ADDRESSES}}
    except WRONG as error:
        raise _damaged(data / DOORS) from error
    raise LpstreamError(
        f"--data {data}: the stack does not run any more; start it again with `lpstream up{data_option(data)}`"
    )


def read_settings(data: Path) -> dict[str, str]:
    """Return the settings of a running stack's services, by environment variable.

    Raises LpstreamError like `read_addresses`.
    """
    read_addresses(data)
    settings = _read(data, SETTINGS)
    if not all(isinstance(value, str) for value in settings.values()):
        raise _damaged(data / SETTINGS)
    return settings


def _read(data: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((data / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LpstreamError(
            f"--data {data}: no stack runs here; start one with `lpstream up{data_option(data)}`, "
            "or set LPSTREAM_* addresses"
        ) from error
    except OSError as error:
        raise LpstreamError(f"{data / name} cannot be read: {error.strerror}; give another folder by --data") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(data / name) from error
    if not isinstance(content, dict):
        raise _damaged(data / name)
    return content


def _damaged(file: Path) -> LpstreamError:
    return LpstreamError(f"{file}: is not as `lpstream up` writes it; stop the stack there and start it again")


def _alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()
