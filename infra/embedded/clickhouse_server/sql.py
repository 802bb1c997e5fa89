"""A minimal lexer for ClickHouse that detects the kind of a statement."""

import re
from dataclasses import dataclass

_TOKENS = re.compile(
    r"""
      (?P<string>'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<quoted>"(?:[^"\\]|\\.|"")*(?:"|\Z)|`(?:[^`\\]|\\.|``)*(?:`|\Z))
    | (?P<heredoc>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<comment>--[^\n]*|\#[!\ ][^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z))
    """,
    re.VERBOSE | re.DOTALL,
)
_INSERT = re.compile(r"\s*INSERT\s+INTO\b", re.IGNORECASE)
_INSERT_DATA = re.compile(r"\bFORMAT\s+(?P<format>\w+)(?P<end>[ \t]*(?:\r?\n)?|\s)", re.IGNORECASE)
_SELECTS = re.compile(r"\b(?:SELECT|WITH|VALUES)\b", re.IGNORECASE)
_VALUES = re.compile(r"\bVALUES\b", re.IGNORECASE)
_SETTINGS = re.compile(r"\bSETTINGS\b", re.IGNORECASE)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)(?:\s+SETTINGS\b.*)?\s*;?\s*\Z", re.IGNORECASE | re.DOTALL)
_FILES = re.compile(r"\bINTO\s+OUTFILE\b|\bFROM\s+INFILE\b", re.IGNORECASE)


def masked(text: str) -> str:
    """Return the text with strings and comments blanked and names unquoted, at the same positions."""

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        if match.lastgroup == "quoted" or match.group("quoted"):
            return " " + token[1:-1] + " " if len(token) > 1 else " "
        return "".join("\n" if letter == "\n" else " " for letter in token)

    return _TOKENS.sub(blank, text)


def first_word(masked_text: str) -> str:
    """Return the statement's first keyword in capitals, or ""."""
    match = re.match(r"[\s(]*([A-Za-z]+)", masked_text)
    return match.group(1).upper() if match else ""


def has_second_statement(masked_text: str) -> bool:
    """Return whether text follows a semicolon."""
    return bool(masked_text.partition(";")[2].strip(" \t\r\n;"))


def names_client_files(masked_text: str) -> bool:
    """Return whether the text has INTO OUTFILE or FROM INFILE, which here would use this process's files."""
    return bool(_FILES.search(masked_text))


def result_format(masked_text: str, default: str) -> str:
    """Return the format in the text, or the default."""
    match = _FORMAT.search(masked_text)
    return match.group(1) if match else default


@dataclass(frozen=True, slots=True)
class DataInsert:
    """An INSERT with data: the statement up to FORMAT, the format, and where the data begins."""

    head: str
    settings_at: int
    format: str
    data_at: int

    def from_file(self, path: str) -> str:
        """Return the statement with its rows read from a file that this server wrote."""
        before, after = self.head[: self.settings_at], self.head[self.settings_at :]
        return f"{before} FROM INFILE '{path}' {after} FORMAT {self.format}"


def values_insert(text: str) -> DataInsert | None:
    """Return the parts of an INSERT … VALUES, None for any other statement."""
    masked_text = masked(text)
    match = _VALUES.search(masked_text) if _INSERT.match(masked_text) else None
    if match is None or _SELECTS.search(masked_text[: match.start()]):
        return None
    return DataInsert(text[: match.start()], match.start(), "Values", match.end())


def data_insert(text: str) -> DataInsert | None:
    """Return the parts of an INSERT with data, None for any other statement."""
    masked_text = masked(text)
    if not _INSERT.match(masked_text):
        return None
    match = _INSERT_DATA.search(masked_text)
    if match is None:
        return None
    masked_head = masked_text[: match.start()]
    if _SELECTS.search(masked_head):
        return None
    settings = _SETTINGS.search(masked_head)
    at = settings.start() if settings else match.start()
    return DataInsert(text[: match.start()], at, match.group("format"), match.end())
