"""Temporary tables: an analyst's statements on them, and those that a client sends with its query.

All functions take text in the engine's form (`formatQuerySingleLine`). ClickHouse's `readonly = 2` lets a user write
temporary tables only; the engine refuses a statement on any other table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.embedded.clickhouse_server import access, sessions
from infra.embedded.clickhouse_server.bodies import ExternalTable
from infra.embedded.clickhouse_server.errors import ServerError
from infra.embedded.clickhouse_server.guard import Token, changes, denied, tokens

# without the client's own settings, which could hide the size
TABLES_SIZE = (
    "SELECT ifNull(sum(total_bytes), 0), count() FROM system.tables WHERE is_temporary SETTINGS limit = 0, offset = 0,"
    " max_result_rows = 0, max_result_bytes = 0, max_rows_to_read = 0, max_bytes_to_read = 0, max_memory_usage = 0"
)
_NAME = r"(?:[^\W\d]\w*|`[^`\\]+`)"
_REMOVE = re.compile(rf"(?:DROP|TRUNCATE) (?:TEMPORARY )?TABLE (?:IF EXISTS )?{_NAME}")
_USE = re.compile(r"USE (?P<name>[^\W\d]\w*)")
_WORDS = {"CREATE", "INSERT", "DROP", "TRUNCATE"}
_READS = {"SELECT", "WITH", "("}
_END = Token("end", "")
# an external table's name stands in a statement of this server
_PLAIN_NAME = re.compile(r"[^\W\d]\w{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement on a temporary table.

    `select` is the text of its SELECT, "" if it has none. `data_at` is where FROM INFILE belongs in an INSERT of data.
    """

    select: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    data_at: int | None = None


def is_statement(text: str) -> bool:
    """Return whether a text may be a statement on a temporary table."""
    return text.partition(" ")[0] in _WORDS


def statement(text: str, parameters: Mapping[str, str]) -> Statement:
    """Return the parts of a statement on a temporary table. Raise ServerError for any other."""
    if text.startswith(("DROP", "TRUNCATE")):
        if not _REMOVE.fullmatch(text):
            raise _refused()
        return Statement()
    walk = _Walk(text, tokens(text))
    return walk.create() if text.startswith("CREATE") else walk.insert(parameters)


def is_too_large(connection: Any) -> bool:
    """Return whether a session's temporary tables exceed their bounds."""
    size, _, count = bytes(connection.query(TABLES_SIZE, "TabSeparated").bytes()).decode().partition("\t")
    return int(size) > sessions.MOST_BYTES or int(count) > sessions.MOST_TABLES


def settings_of(text: str, parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the settings of `SET name = value, …`."""
    read = tokens(text)
    settings, end = changes(read, 1, parameters)
    if end < len(read):
        raise denied(f"the text at {read[end].text[:40]!r}")
    return settings


def database_of(text: str) -> str:
    """Return the database of `USE name`."""
    match = _USE.fullmatch(text)
    if match is None:
        raise denied(f"{text[:60]!r}")
    return match["name"]


def creating(table: ExternalTable) -> str:
    """Return the CREATE for an external table, as its client describes it.

    `check_created` must accept it.
    """
    if not _PLAIN_NAME.fullmatch(table.name):
        raise ServerError(
            36, "BAD_ARGUMENTS", f"The name {table.name[:60]!r} of an external table is not a plain name."
        )
    columns = table.structure
    if table.unnamed:
        columns = ", ".join(f"_{number} {kind}" for number, kind in enumerate(_kinds(table.structure), 1))
    return f"CREATE TEMPORARY TABLE `{table.name}` ({columns})"


def check_created(text: str, table: ExternalTable) -> None:
    """Raise ServerError unless the engine's form of `creating` is a table of plain columns."""
    walk = _Walk(text, tokens(text))
    walk.take("CREATE", "TEMPORARY", "TABLE", table.name)
    walk.columns()
    if walk.next is not _END:
        raise _structure()


def _kinds(types: str) -> list[str]:
    """Return the types of a list like `Int8, Enum('a' = 1, 'b' = 2)`."""
    parts, depth, quoted, start = [], 0, False, 0
    for at, letter in enumerate(types):
        if letter == "'" and types[at - 1 : at] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (letter == "(") - (letter == ")")
            if letter == "," and depth == 0:
                parts.append(types[start:at])
                start = at + 1
    return [*parts, types[start:]]


@dataclass(slots=True)
class _Walk:
    """A position in the tokens of a statement."""

    text: str
    read: list[Token]
    at: int = 0

    @property
    def next(self) -> Token:
        return self.read[self.at] if self.at < len(self.read) else _END

    def take(self, *words: str) -> None:
        """Move over these words. Raise ServerError if others stand here."""
        for word in words:
            if self.next.text.strip("`") != word:
                raise _refused()
            self.at += 1

    def takes(self, *words: str) -> bool:
        """Move over these words if they stand here, and return whether they do."""
        here = tuple(token.text for token in self.read[self.at : self.at + len(words)])
        self.at += len(words) if here == words else 0
        return here == words

    def name(self) -> None:
        if self.next.kind not in ("word", "quoted"):
            raise _refused()
        self.at += 1

    def create(self) -> Statement:
        self.take("CREATE")
        self.takes("OR", "REPLACE")
        self.take("TEMPORARY", "TABLE")
        self.takes("IF", "NOT", "EXISTS")
        self.name()
        if self.next.text == "(":
            self.columns()
        self.takes("ENGINE", "=", "Memory")
        if self.takes("AS") and self.next.text in _READS:
            return Statement(self.text[self.next.at :])
        if self.next is not _END:
            raise _refused()
        return Statement()

    def insert(self, parameters: Mapping[str, str]) -> Statement:
        self.take("INSERT", "INTO")
        self.name()
        if self.takes("("):
            self.name()
            while self.takes(","):
                self.name()
            self.take(")")
        settings: list[tuple[str, str]] = []
        if self.takes("SETTINGS"):
            settings, self.at = changes(self.read, self.at, parameters)
        if self.next.text in _READS:
            return Statement(self.text[self.next.at :], tuple(settings))
        at = self.next.at
        self.take("FORMAT")
        access.analyst_format(self.next.text)
        self.name()
        if self.next is not _END:
            raise _refused()
        return Statement("", tuple(settings), at)

    def columns(self) -> None:
        """Move over `(name Type, …)`. Raise ServerError for defaults, codecs and all else but types."""
        self.take("(")
        while True:
            self.name()
            if self.next.kind != "word":
                raise _structure()
            self.at += 1
            if self.next.text == "(":
                self._brackets()
            if not self.takes("NULL"):
                self.takes("NOT", "NULL")
            if self.takes(")"):
                return
            if not self.takes(","):
                raise _structure()

    def _brackets(self) -> None:
        depth = 0
        while self.next is not _END:
            depth += (self.next.text == "(") - (self.next.text == ")")
            self.at += 1
            if depth == 0:
                return
        raise _structure()


def _refused() -> ServerError:
    return denied(
        "that statement; analysts write only temporary tables, by CREATE TEMPORARY TABLE with columns or AS SELECT,"
        " INSERT, DROP, TRUNCATE"
    )


def _structure() -> ServerError:
    return ServerError(36, "BAD_ARGUMENTS", "The structure of a temporary table takes only names and types of columns.")
