"""Settings of an analyst's query, by the rules of production's profile (`users.d/analyst.xml`).

A query may change the form of its answer and lower its limits, as with ClickHouse's `readonly = 2`. A setting with its
present value is no change. Errors have the codes and texts of ClickHouse's SettingsConstraints.
"""

import re
from collections.abc import Mapping

from infra.embedded.clickhouse_server import allowed
from infra.embedded.clickhouse_server.errors import ServerError

_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{0,40})?", re.ASCII)
_WORDS = {"true": "1", "false": "0"}
DEFAULT = "DEFAULT"


def check(name: str, value: str, known: Mapping[str, str]) -> None:
    """Raise ServerError unless an analyst may give the setting this value.

    `known` has the engine's defaults.
    """
    if name in allowed.LABELS:
        return
    if name not in known:
        raise ServerError(115, "UNKNOWN_SETTING", f"Unknown setting '{name[:60]}'.")
    present = _present(name, known)
    if _plain(value) == _plain(present) or (allowed.SETTINGS.fullmatch(name) and name not in allowed.FIXED):
        return
    if name == "readonly":
        raise ServerError(164, "READONLY", "Cannot modify 'readonly' setting in readonly mode.")
    if name not in allowed.LIMITS:
        raise ServerError(452, "SETTING_CONSTRAINT_VIOLATION", f"Setting {name} should not be changed.")
    _check_limit(name, value, allowed.HIGHEST.get(name, allowed.LIMITS[name]))


def _check_limit(name: str, value: str, most: int) -> None:
    if not _NUMBER.fullmatch(value):
        raise ServerError(
            27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", f"Setting {name}: cannot parse {value[:40]!r} as a number."
        )
    if float(value) < 1:
        raise ServerError(452, "SETTING_CONSTRAINT_VIOLATION", f"Setting {name} shouldn't be less than 1.")
    if float(value) > most:
        raise ServerError(452, "SETTING_CONSTRAINT_VIOLATION", f"Setting {name} shouldn't be greater than {most}.")


def _present(name: str, known: Mapping[str, str]) -> str:
    if name == "readonly":
        return allowed.READONLY
    if name in allowed.LIMITS:
        return str(allowed.LIMITS[name])
    return allowed.FIXED.get(name, known[name])


def _plain(value: str) -> str:
    return _WORDS.get(value.lower(), value)
