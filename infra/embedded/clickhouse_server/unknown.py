"""Errors for names that the engine does not have, with the nearest names, as in ClickHouse."""

import difflib
import re
from typing import Any

from infra.embedded.clickhouse_server import allowed
from infra.embedded.clickhouse_server.errors import DeniedError, ServerError

FUNCTIONS = "SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions"
DATABASES = "SELECT name FROM system.databases"
TABLES = "SELECT concat(database, '.', name) FROM system.tables WHERE database IN ('system', 'lpstream')"
FORMATS = "SELECT name FROM system.formats"
LIKE, MOST_LIKE = 0.7, 2
PLAIN = re.compile(r"\w{1,100}(?:\.\w{1,100})?")


def error(connection: Any, refusal: DeniedError) -> ServerError:
    """Return the error "unknown" if the engine does not have the name, otherwise the refusal."""

    def names(query: str) -> str:
        return bytes(connection.query(query, "TabSeparated").bytes()).decode()

    name = refusal.refused
    if not PLAIN.fullmatch(name):
        return refusal
    if refusal.kind in ("function", "table function"):
        return _checked(
            refusal, names(FUNCTIONS), 46, "UNKNOWN_FUNCTION", f"Function with name `{name}` does not exist"
        )
    if refusal.kind == "format":
        return _checked(refusal, names(FORMATS), 73, "UNKNOWN_FORMAT", f"Unknown format {name}")
    if refusal.kind == "table" and name.partition(".")[0] in ("system", "lpstream"):
        return _checked(refusal, names(TABLES), 60, "UNKNOWN_TABLE", f"Table {name} does not exist")
    if refusal.kind in ("table", "database"):
        database = name.partition(".")[0]
        refused = DeniedError("", "database", database)
        other = _checked(refused, names(DATABASES), 81, "UNKNOWN_DATABASE", f"Database {database} does not exist")
        return refusal if other is refused else other
    return refusal


def _checked(refusal: DeniedError, lines: str, code: int, title: str, text: str) -> ServerError:
    known = {name.lower(): name for name in lines.split("\n")}
    name = refusal.refused.lower()
    if name in known:
        return refusal
    usable = [lower for lower, given in known.items() if _is_allowed(refusal.kind, given)]
    like = [known[near] for near in difflib.get_close_matches(name, usable, MOST_LIKE, LIKE)]
    return ServerError(code, title, f"{text}. Maybe you meant: {like}" if like else text)


def _is_allowed(kind: str, name: str) -> bool:
    if kind == "table":
        return allowed.allows_table(name)
    if kind == "database":
        return name in allowed.DATABASES
    if kind == "format":
        return name in allowed.FORMATS
    return allowed.allows_function(name) or name.lower() in allowed.TABLE_FUNCTIONS
