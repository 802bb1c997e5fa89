"""The guard that decides whether an analyst may run a statement, based on the engine's own parse.

The engine formats the statement (`formatQuerySingleLine`): one statement, no comments, strings in single quotes,
unusual names in backquotes. Only this text runs. The engine also returns the syntax tree (`EXPLAIN AST`, with
parameters inserted). Everything in both must be in `allowed`; the guard refuses all that it does not understand.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infra.embedded.clickhouse_server import access, allowed
from infra.embedded.clickhouse_server.errors import DeniedError, ServerError
from infra.embedded.clickhouse_server.settings import DEFAULT

_NAME = r"(?:[^\W\d]\w*|`[^`\\]+`)"
_STRING = r"'(?:[^'\\]|\\.)*'"
_MAP = rf"\{{(?:{_STRING}:{_STRING}(?:, ?{_STRING}:{_STRING})*)?\}}"
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})|(?P<quoted>`[^`\\\x00-\x1f]+`)|(?P<word>[^\W\d]\w*)|(?P<number>\d[\w.]*(?:[eE][+-]\d+)?)"
    rf"|(?P<map>{_MAP})|(?P<parameter>\{{\w+:[^{{}}`]*\}})"
    r"|(?P<space>[ ]+)|(?P<wrong>--|/\*|//)|(?P<sign>[-()\[\],.+*/%=<>!|?:])",
    re.DOTALL,
)
_LIKE = rf"(?: (?:NOT )?I?LIKE {_STRING})?"
_SHOWS = re.compile(
    rf"(?:SHOW (?:(?:FULL )?(?:TEMPORARY )?TABLES(?: FROM (?P<of>{_NAME}))?{_LIKE}(?: LIMIT \d+)?"
    rf"|DATABASES{_LIKE}(?: LIMIT \d+)?"
    rf"|(?:EXTENDED )?(?:FULL )?COLUMNS FROM {_NAME}(?: FROM (?P<columns>{_NAME}))?{_LIKE}(?: LIMIT \d+)?"
    rf"|INDEXES FROM {_NAME}(?: FROM (?P<indexes>{_NAME}))?|FUNCTIONS{_LIKE}|(?:CHANGED )?SETTINGS{_LIKE}"
    rf"|SETTING {_NAME}|ENGINES|CREATE DATABASE (?P<d>{_NAME})"
    rf"|CREATE (?:(?:TEMPORARY )?TABLE|VIEW) (?:(?P<created>{_NAME})\.)?{_NAME})"
    rf"|EXISTS (?:(?:TEMPORARY )?TABLE|VIEW) (?:(?P<there>{_NAME})\.)?{_NAME}|EXISTS DATABASE {_NAME})(?: FORMAT \w+)?",
    re.DOTALL,
)
_KILL = re.compile(r"KILL QUERY WHERE query_id = (?P<id>'[\w-]{1,100}')(?: A?SYNC)?(?: FORMAT (?P<format>\w+))?")
_SESSION = re.compile(
    rf"{_STRING}|`[^`]+`|\b(?P<name>{'|'.join(allowed.SESSION)})\(\)(?P<named> AS )?", re.IGNORECASE | re.DOTALL
)
_LINE = re.compile(r"(?P<depth> *)(?P<kind>\w[\w:]*)(?: (?P<rest>.*))?\Z")
_SUFFIX = re.compile(r" \((?:alias |children \d+\)\Z)")
_PLAIN_KINDS = {
    "SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery", "ExpressionList", "Subquery", "WithElement",
    "TablesInSelectQuery", "TablesInSelectQueryElement", "TableExpression", "TableJoin", "ArrayJoin", "SampleRatio",
    "Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher", "ColumnsListMatcher", "QualifiedColumnsRegexpMatcher",
    "QualifiedColumnsListMatcher", "ColumnsTransformerList", "ColumnsApplyTransformer", "ColumnsExceptTransformer",
    "ColumnsReplaceTransformer", "ColumnsReplaceTransformer::Replacement", "WindowDefinition", "WindowListElement",
    "OrderByElement", "InterpolateElement", "Literal", "DescribeQuery", "Set",
}  # fmt: skip
_EXPLAINED = {"EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN QUERY TREE", "EXPLAIN PIPELINE", "EXPLAIN ESTIMATE"}
_PLAIN_NAME = re.compile(r"[^\W\d]\w*(?:\.\w+)?")
_CALLED = {"COLUMNS"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0"}
# Grafana's filters by hand ("ad hoc"): conditions of tables, which are checked like a SELECT
FILTERS, MOST_CONDITIONS = "additional_table_filters", 100
HARMLESS = "SETTINGS max_threads = 1 "
_IN = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the engine's text."""

    kind: str
    text: str
    called: bool = False  # "(" follows without a space: a function name or a word of _CALLED
    at: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A checked statement that reads.

    `tree_of` is the text whose syntax tree must show `selects` SELECTs and `clauses` SETTINGS; `selects` is None if the
    tree needs no check. `settings` are those of the statement's SETTINGS, `format` is its FORMAT, "" if it has none.
    """

    selects: int | None
    tree_of: str = ""
    clauses: int = 0
    settings: tuple[tuple[str, str], ...] = ()
    format: str = ""


@dataclass(slots=True)
class Node:
    """A line of the syntax tree: its kind, its name, and the number of its children so far."""

    depth: int
    kind: str
    name: str
    children: int = 0


def denied(what: str) -> DeniedError:
    """Return the error to raise. `what` completes "analyst: Not enough privileges for"."""
    return DeniedError(what)


def check_text(text: str, parameters: Mapping[str, str]) -> Read:
    """Check the statement in the engine's form, but not its settings.

    Raise ServerError if it is not allowed.
    """
    read = tokens(text)
    first = next((token.text for token in read if token.text != "("), "")
    if first not in allowed.READS:
        raise ServerError(164, "READONLY", "analyst: Cannot execute query in readonly mode.")
    form = _format(read)
    if first in ("SHOW", "EXISTS"):
        _check_show(text)
        return Read(None, format=form)
    _check_words(read)
    _check_identifiers(read, parameters)
    clauses = [at for at, token in enumerate(read) if token.kind == "word" and token.text == "SETTINGS"]
    settings, tree_of = _settings(text, read, clauses, parameters)
    if sum(token.kind == "map" for token in read) > sum(name == FILTERS for name, _ in settings):
        raise denied(f"a map; only the setting {FILTERS} takes one")
    selects = sum(token.kind == "word" and token.text == "SELECT" for token in read)
    return Read(selects, tree_of, len(clauses), tuple(settings), form)


def _settings(
    text: str, read: list[Token], clauses: list[int], parameters: Mapping[str, str]
) -> tuple[list[tuple[str, str]], str]:
    """Return the settings of all clauses, and the text with one harmless setting in each.

    Settings like `max_result_rows` would hold for EXPLAIN too, and cut the syntax tree off.
    """
    settings: list[tuple[str, str]] = []
    parts, copied = [], 0
    for at in clauses:
        given, end = changes(read, at + 1, parameters)
        settings += given
        parts += [text[copied : read[at].at], HARMLESS]
        copied = read[end].at if end < len(read) else len(text)
    return settings, "".join([*parts, text[copied:]])


def changes(read: list[Token], at: int, parameters: Mapping[str, str]) -> tuple[list[tuple[str, str]], int]:
    """Return the names and values of `name = value, …` from a token on, and the token after them.

    A name alone means 1. `name = DEFAULT` has the value DEFAULT.
    """
    settings: list[tuple[str, str]] = []
    while True:
        name, value = _token(read, at), "1"
        if name.kind != "word" or name.called or _token(read, at + 1).text == ".":
            raise denied(f"SETTINGS at {name.text[:60]!r}: give names and values")
        at += 1
        if _token(read, at).text == "=":
            value, at = _value(read, at + 1, parameters)
        settings.append((name.text, value))
        if _token(read, at).text != ",":
            return settings, at
        at += 1


def _value(read: list[Token], at: int, parameters: Mapping[str, str]) -> tuple[str, int]:
    token, sign = _token(read, at), ""
    if token.text == "-":
        at, sign = at + 1, "-"
        token = _token(read, at)
    if token.kind == "number" or (not sign and token.kind == "word" and token.text in ("true", "false", DEFAULT)):
        return sign + token.text, at + 1
    if token.kind == "string" and not sign:
        return _unescaped(token.text), at + 1
    if token.kind == "map" and not sign:
        return token.text, at + 1
    if token.kind == "parameter" and not sign:
        return parameters.get(token.text[1:-1].partition(":")[0], ""), at + 1
    raise denied(f"the value {sign}{token.text[:60]} of a setting: give a number, a string, true or false")


def conditions(read: Read) -> list[str]:
    """Return the conditions of all settings FILTERS, each of them `{'table':'condition', …}`.

    Raise ServerError for another value, and for more conditions than MOST_CONDITIONS: the engine parses each.
    """
    strings: list[str] = []
    for filters in (value for name, value in read.settings if name == FILTERS):
        if not re.fullmatch(_MAP, filters, re.DOTALL):
            raise denied(f"the value {filters[:60]} of {FILTERS}: give {{'table':'condition'}}")
        strings += re.findall(_STRING, filters, re.DOTALL)[1::2]
    if len(strings) > MOST_CONDITIONS:
        raise denied(f"{FILTERS} with over {MOST_CONDITIONS} conditions")
    return [_unescaped(string) for string in strings]


def _unescaped(string: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), string[1:-1])


def _token(read: list[Token], at: int) -> Token:
    return read[at] if at < len(read) else Token("end", "")


def check_tree(tree: str, read: Read, closed: frozenset[str]) -> None:
    """Check the syntax tree, which must show all SELECTs of the text, and its SETTINGS.

    `closed` holds the engine's functions that are not allowed, in lower case.
    """
    above: list[Node] = []
    selects, clauses = read.selects or 0, 0
    for node in _nodes(tree):
        selects -= node.kind == "SelectQuery"
        while above and above[-1].depth >= node.depth:
            above.pop()
        clauses += node.kind == "Set" and not (above and above[-1].kind == "Explain")
        _check_node(node, above, closed)
        if above:
            above[-1].children += 1
        above.append(node)
    # the engine repeats a WITH in each SELECT of a UNION, so the tree may have more of both than the text
    if selects > 0:
        raise denied("a SELECT that the engine does not show in its syntax tree")
    if clauses < read.clauses or (clauses and not read.clauses):
        raise denied("SETTINGS that text and syntax tree do not both show")


def with_session(text: str, query_id: str) -> str:
    """Return a checked statement with the values of its session functions."""
    values = {"user": "analyst", "server": "lpstream-embedded", "query": re.sub(r"[^\w.:-]", "", query_id)[:100]}

    def value(match: re.Match[str]) -> str:
        if not match["name"]:
            return match.group()
        literal = f"'{values[allowed.SESSION[match['name'].lower()]]}'"
        # an unnamed column keeps the function's name
        return f"{literal} AS " if match["named"] else f"({literal} AS `{match['name']}()`)"

    return _SESSION.sub(value, text)


def kill_target(text: str) -> tuple[str, str]:
    """Return the query id and the format of `KILL QUERY WHERE query_id = '…'`.

    Raise ServerError for any other statement.
    """
    match = _KILL.fullmatch(text)
    if match is None:
        raise denied("that statement; KILL QUERY takes only WHERE query_id = '…'")
    name = match["format"] or ""
    return match["id"][1:-1], name and access.analyst_format(name)


def tokens(text: str) -> list[Token]:
    """Return the tokens of the engine's text. Raise ServerError for text that the engine would not write."""
    read, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup in (None, "wrong"):
            raise denied(f"the text at {text[at : at + 20]!r}: it cannot be parsed")
        if match.lastgroup != "space":
            read.append(Token(str(match.lastgroup), match.group(), text.startswith("(", match.end()), at))
        at = match.end()
    return read


def _format(read: list[Token]) -> str:
    """Return the statement's format.

    Refuse formats that read a file, and INTO OUTFILE, which writes one.
    """
    words = {token.text for token in read if token.kind == "word"}
    for word in ("OUTFILE", "INFILE"):
        if word in words:
            raise denied(word)
    form = ""
    for at, (token, name) in enumerate(itertools.pairwise(read)):
        if token.kind == name.kind == "word" and token.text == "FORMAT":
            known = access.analyst_format(name.text)
            form = known if _token(read, at + 2).text in ("", "SETTINGS") else form
    return form


def _check_show(text: str) -> None:
    """Refuse SHOW and EXISTS except in simple forms, because the tree does not show their conditions."""
    match = _SHOWS.fullmatch(text)
    if match is None:
        raise denied(f"{text[:60]!r}; SHOW takes FROM, LIKE and LIMIT here, and system.tables any condition")
    for database in (name.strip("`") for name in match.groups() if name):
        if database != "system" and database not in allowed.DATABASES:
            raise DeniedError.named("database", database)


def _check_words(read: list[Token]) -> None:
    """Check the things that the tree omits: functions of APPLY, and names that make its lines ambiguous."""
    for at, token in enumerate(read):
        following = _token(read, at + 1)
        if token.kind == "quoted" and ("(alias " in token.text or "(children " in token.text):
            raise denied(f"the name {token.text}")
        if token.kind in ("word", "quoted") and token.called and not _may_be_called(token.text.strip("`")):
            raise DeniedError.named("function", token.text.strip("`"))
        if token.text == "APPLY" and not (following.kind == "word" and allowed.allows_function(following.text)):
            raise denied(f"APPLY {following.text}: it takes only the name of an allowed function")
        if token.text == "APPLY" and following.called and not _only_literals(read[at + 3 : at + 100]):
            raise denied(f"APPLY {following.text}() with arguments other than numbers and strings")


def _may_be_called(name: str) -> bool:
    return name in _CALLED or name.lower() in allowed.TABLE_FUNCTIONS or allowed.allows_function(name)


def _only_literals(read: list[Token]) -> bool:
    """Return whether there is a closing bracket, with only numbers and strings before it."""
    inside = list(itertools.takewhile(lambda token: token.text != ")", read))
    return len(inside) < len(read) and all(
        token.kind in ("number", "string") or token.text in ",.-" for token in inside
    )


def _check_identifiers(read: list[Token], parameters: Mapping[str, str]) -> None:
    """Refuse an Identifier parameter whose value is not a plain name."""
    for token in read:
        name, _, kind = token.text[1:-1].partition(":")
        is_identifier = token.kind == "parameter" and "identifier" in kind.lower()
        if is_identifier and _PLAIN_NAME.fullmatch(parameters.get(name, "")) is None:
            raise denied(f"the value of the parameter {name}: it is not a plain name")


def _nodes(tree: str) -> Iterator[Node]:
    for line in tree.split("\n"):
        if not line:
            continue
        match = _LINE.match(line)
        if match is None:
            raise denied(f"{line.strip()!r} in the syntax tree: it is unknown")
        rest = f" {match['rest'] or ''}"
        suffix = _SUFFIX.search(rest)
        yield Node(len(match["depth"]), match["kind"], (rest[: suffix.start()] if suffix else rest).strip())


def _check_node(node: Node, above: list[Node], closed: frozenset[str]) -> None:
    parent = above[-1].kind if above else ""
    if node.kind == "Function":
        _check_function(node.name, as_table=parent == "TableExpression")
    elif node.kind == "TableIdentifier":
        _check_table(node.name)
    elif node.kind == "Identifier":
        _check_identifier(node.name, above, closed)
    elif node.kind == "Explain":
        if node.name not in _EXPLAINED or above:
            raise denied(node.name)
    elif node.kind not in _PLAIN_KINDS:
        raise denied(f"a statement with {node.kind}")


def _check_function(name: str, *, as_table: bool) -> None:
    known = name.lower() in allowed.TABLE_FUNCTIONS if as_table else allowed.allows_function(name)
    if not known:
        raise DeniedError.named("table function" if as_table else "function", name)


def _check_table(name: str) -> None:
    if not allowed.allows_table(name):
        raise DeniedError.named("table", name)


def _check_identifier(name: str, above: list[Node], closed: frozenset[str]) -> None:
    """Refuse names of closed functions (`arrayMap(file, …)`) and, right of IN, of closed tables."""
    if name.lower() in closed:
        raise denied(f"the name {name}, which is also the name of a function")
    parts = name.split(".")
    if parts[0] == "system" and len(parts) > 1 and not allowed.allows_table(".".join(parts[:2])):
        raise DeniedError.named("table", ".".join(parts[:2]))
    right_of_in = len(above) > 1 and above[-2].kind == "Function" and _IN.match(above[-2].name)
    if right_of_in and above[-1].children == 1:
        _check_table(name)
