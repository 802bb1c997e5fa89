"""Just enough of ClickHouse's lexis to know what kind of statement a text is."""

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
_SETTINGS = re.compile(r"\bSETTINGS\b", re.IGNORECASE)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)(?:\s+SETTINGS\b.*)?\s*;?\s*\Z", re.IGNORECASE | re.DOTALL)
_FILES = re.compile(r"\bINTO\s+OUTFILE\b|\bFROM\s+INFILE\b", re.IGNORECASE)


def skeleton(text: str) -> str:
    """The text with strings and comments blanked and names unquoted; every character keeps its place."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        if match.lastgroup == "quoted" or match.group("quoted"):
            return " " + found[1:-1] + " " if len(found) > 1 else " "
        return "".join("\n" if letter == "\n" else " " for letter in found)

    return _TOKENS.sub(blank, text)


def first_word(bones: str) -> str:
    """The statement's first keyword in capitals, "" when there is none."""
    match = re.match(r"[\s(]*([A-Za-z]+)", bones)
    return match.group(1).upper() if match else ""


def has_second_statement(bones: str) -> bool:
    """Whether something follows a semicolon."""
    return bool(bones.partition(";")[2].strip(" \t\r\n;"))


def names_client_files(bones: str) -> bool:
    """INTO OUTFILE and FROM INFILE are the client's, and would be this process's files here."""
    return bool(_FILES.search(bones))


def result_format(bones: str, default: str) -> str:
    """The format that the text asks for."""
    match = _FORMAT.search(bones)
    return match.group(1) if match else default


@dataclass(frozen=True, slots=True)
class DataInsert:
    """An INSERT that brings its rows as data: the statement up to FORMAT, the format, where the data begins."""

    head: str
    settings_at: int
    format: str
    data_at: int

    def from_file(self, path: str) -> str:
        """The same statement, reading its rows from a file that this server wrote."""
        before, after = self.head[: self.settings_at], self.head[self.settings_at :]
        return f"{before} FROM INFILE '{path}' {after} FORMAT {self.format}"


def data_insert(text: str) -> DataInsert | None:
    """How an INSERT with data is made up; None for any other statement."""
    bones = skeleton(text)
    if not _INSERT.match(bones):
        return None
    found = _INSERT_DATA.search(bones)
    if found is None:
        return None
    head_bones = bones[: found.start()]
    if _SELECTS.search(head_bones):
        return None
    settings = _SETTINGS.search(head_bones)
    at = settings.start() if settings else found.start()
    return DataInsert(text[: found.start()], at, found.group("format"), found.end())
