"""`doors.json`: where a running `lpstream up` can be reached. Readable by its owner only: it holds a token."""

import json
import os
from pathlib import Path
from typing import Any

from schemas.errors import LpstreamError

NAME = "doors.json"


def write_doors(data: Path, doors: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    partial = data / f"{NAME}.{os.getpid()}"
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(doors, out, indent=2)
    partial.replace(data / NAME)


def remove_doors(data: Path) -> None:
    """The stack is gone."""
    (data / NAME).unlink(missing_ok=True)


def read_doors(data: Path) -> dict[str, Any]:
    """The doors of a running stack; LpstreamError when there is none."""
    try:
        found: dict[str, Any] = json.loads((data / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LpstreamError(
            f"no stack runs on {data}: start one with `lpstream up`, or set LPSTREAM_* addresses"
        ) from error
    except (OSError, ValueError) as error:
        raise LpstreamError(f"{data / NAME} cannot be read: {error}") from error
    return found
