"""TOML files that a person writes, such as tenants, prices and the mix of requests."""

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from schemas.errors import SettingError

File = TypeVar("File", bound=BaseModel)


def read_toml(model: type[File], source: Path | Traversable, name: str) -> File:
    """Return a file's content; raise SettingError with the file's name and the key at fault."""
    try:
        return model.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingError(f"{name}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"{name}: is not a TOML file: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = [".".join(str(part) for part in first["loc"])] if first["loc"] else []
        raise SettingError(": ".join([name, *place, first["msg"].removeprefix("Value error, ")])) from error
