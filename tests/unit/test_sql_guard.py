"""The guard of analysts' SQL, on statement texts and on syntax trees as ClickHouse prints them."""

import time

import pytest

from infra.embedded.clickhouse_server import allowed, guard
from infra.embedded.clickhouse_server.errors import ServerError

CLOSED = frozenset({"file", "sleep"})


def tree(*lines: str) -> str:
    """Return a tree of nodes, each the child of the node before it."""
    return "\n".join(" " * depth + line for depth, line in enumerate(lines))


@pytest.mark.parametrize(
    ("text", "selects"),
    [
        ("SELECT 1", 1),
        ("(SELECT 1) UNION ALL (SELECT 2)", 2),
        ("SELECT 'SELECT', `SELECT` FROM lp_daily", 1),
        ("DESCRIBE TABLE lp_daily", 0),
        ("SHOW TABLES FROM lpstream LIKE '%it\\'s%' LIMIT 3 FORMAT JSON", None),
        ("EXISTS TABLE lpstream.`lp_daily`", None),
    ],
)
def test_an_allowed_text_returns_its_number_of_selects(text: str, selects: int | None) -> None:
    assert guard.check_text(text, {}).selects == selects


@pytest.mark.parametrize(
    "text",
    [
        "SHOW TABLES WHERE file('x') != ''",
        "SHOW TABLES FROM {d:Identifier}",
        "SHOW COLUMNS FROM `x` FROM `default`",
        "EXISTS TABLE default.x",
        "SHOW CREATE USER default",
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT 1 SETTINGS a.b = 1",
        "SELECT 1 SETTINGS max_threads = upper('1')",
        "SELECT 1 SETTINGS max_threads = ",
        "SELECT 1 SETTINGS 'max_threads' = 1",
        "SELECT 1 SETTINGS",
        "SELECT 1 FORMAT Template",
        "SELECT file('x')",
        "SELECT `file`('x')",
        "SELECT * APPLY file FROM t",
        "SELECT * APPLY `sum` FROM t",
        "SELECT * APPLY (x -> x) FROM t",
        "SELECT * APPLY quantile(a) FROM t",
        "SELECT * APPLY quantile(0.5",
        "SELECT 1 -- x",
        "SELECT 1 /* x */",
        "SELECT $$x$$",
        'SELECT "x"',
        "SELECT `x\\n`",
        "SELECT `x (alias y)`",
        "SELECT 'x",
        "SELECT @@x",
        "SELECT 1; SELECT 2",
    ],
)
def test_a_text_outside_the_allowed_list_is_denied(text: str) -> None:
    with pytest.raises(ServerError) as caught:
        guard.check_text(text, {"d": "lpstream"})
    assert caught.value.code == 497


@pytest.mark.parametrize("text", ["INSERT INTO t VALUES", "SET readonly = 0", "", "KILL QUERY WHERE 1", "select 1"])
def test_a_statement_that_does_not_read_is_denied(text: str) -> None:
    with pytest.raises(ServerError) as caught:
        guard.check_text(text, {})
    assert caught.value.code == 164


@pytest.mark.parametrize(
    ("value", "passes"),
    [("day", True), ("system.parts", True), ("x (children 1)", False), ("a\nb", False), ("", False)],
)
def test_an_identifier_parameter_must_be_a_plain_name(value: str, passes: bool) -> None:
    if passes:
        assert guard.check_text("SELECT {a:Identifier}", {"a": value}).selects == 1
        return
    with pytest.raises(ServerError, match="parameter a"):
        guard.check_text("SELECT {a:Identifier}", {"a": value})


@pytest.mark.parametrize(
    "lines",
    [
        ("Function sumIf (alias x) (children 1)", "ExpressionList (children 1)", "Identifier a.b (alias c)"),
        ("TableExpression (children 1)", "TableIdentifier lpstream.lp_daily (alias d)"),
        ("TableExpression (children 1)", "Function numbers (children 1)"),
        ("Explain EXPLAIN PIPELINE (children 2)", "Set"),
        ("Literal 'Function file'",),
    ],
)
def test_an_allowed_tree_passes(lines: tuple[str, ...]) -> None:
    guard.check_tree(tree(*lines), guard.Read(0), CLOSED)


@pytest.mark.parametrize(
    "lines",
    [
        ("Function file (children 1)",),
        ("Function lpstream.view (children 1)",),
        ("Function numbers (children 1)",),
        ("TableExpression (children 1)", "Function sum (children 1)"),
        ("TableIdentifier system.processes",),
        ("TableIdentifier default.x",),
        ("TableIdentifier /etc/hostname",),
        ("TableIdentifier lpstream.a.b",),
        ("Identifier File (alias x)",),
        ("Identifier system.processes",),
        ("SelectQuery (children 1)", "Set"),
        ("Explain EXPLAIN TABLE OVERRIDE (children 2)",),
        ("Subquery", "Explain EXPLAIN"),
        ("InsertQuery  (children 1)",),
        ("a line (of another kind",),
    ],
)
def test_a_tree_outside_the_allowed_list_is_denied(lines: tuple[str, ...]) -> None:
    with pytest.raises(ServerError, match="Not enough privileges"):
        guard.check_tree(tree(*lines), guard.Read(0), CLOSED)


def test_the_tree_must_show_the_settings_of_the_text() -> None:
    shown = tree("SelectQuery (children 1)", "Set")
    guard.check_tree(shown, guard.Read(0, clauses=1), CLOSED)
    with pytest.raises(ServerError, match="SETTINGS that text and syntax tree"):
        guard.check_tree(shown, guard.Read(0, clauses=2), CLOSED)


def test_settings_are_read_wherever_they_stand() -> None:
    text = "SELECT (SELECT 1 SETTINGS a = -1, b) SETTINGS c = '\\t\\'x', d = {p:UInt8}, e = true FORMAT JSON"
    text += " SETTINGS f = DEFAULT"
    read = guard.check_text(text, {"p": "5"})
    assert dict(read.settings) == {"a": "-1", "b": "1", "c": "\t'x", "d": "5", "e": "true", "f": "DEFAULT"}
    assert (read.clauses, read.format) == (3, "JSON")
    clause = "SETTINGS max_threads = 1 "
    assert read.tree_of == f"SELECT (SELECT 1 {clause}) {clause}FORMAT JSON {clause}"


def test_a_select_missing_from_the_tree_is_denied() -> None:
    shown = tree("SelectWithUnionQuery (children 1)", "ExpressionList (children 1)", "SelectQuery (children 1)")
    guard.check_tree(shown, guard.Read(1), CLOSED)
    with pytest.raises(ServerError, match="does not show"):
        guard.check_tree(shown, guard.Read(2), CLOSED)


@pytest.mark.parametrize(("right", "passes"), [("lp_daily", True), ("lpstream.lp_daily", True), ("others.t", False)])
def test_a_name_on_the_right_of_in_is_checked_as_a_table(right: str, passes: bool) -> None:
    text = (
        f"Function globalNotIn (children 1)\n ExpressionList (children 2)\n  Identifier others.a\n  Identifier {right}"
    )
    if passes:
        guard.check_tree(text, guard.Read(0), CLOSED)
        return
    with pytest.raises(ServerError, match=r"the table others\.t"):
        guard.check_tree(text, guard.Read(0), CLOSED)


@pytest.mark.parametrize("name", ["sum", "SUM", "quantileTDigestIf", "sumMapMerge", "countIfOrDefault", "lambda"])
def test_an_allowed_function_may_have_combinators(name: str) -> None:
    assert allowed.allows_function(name)


@pytest.mark.parametrize(
    "name", ["file", "fileIf", "Merge", "", "sleepArray", "dictGetOrNull", "joinGetOrNull", "sum.x"]
)
def test_a_combinator_does_not_allow_another_function(name: str) -> None:
    assert not allowed.allows_function(name)


@pytest.mark.parametrize("name", ["if" * 300_000, "state" * 120_000])
def test_a_long_name_is_refused_at_once(name: str) -> None:
    began = time.process_time()
    assert not allowed.allows_function(name)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("name", ["polygonsUnionCartesian", "polygonsSymDifferenceSpherical"])
def test_a_function_beyond_the_memory_limit_is_not_allowed(name: str) -> None:
    assert not allowed.allows_function(name)


@pytest.mark.parametrize(("number", "passes"), [(100, True), (101, False)])
def test_a_statement_has_at_most_100_filters(number: int, passes: bool) -> None:
    half = "{" + ",".join(["'t':'1'"] * (number // 2)) + "}"
    rest = "{" + ",".join(["'t':'1'"] * (number - number // 2)) + "}"
    read = guard.check_text(
        f"SELECT 1 SETTINGS {guard.FILTERS} = {half} UNION ALL SELECT 1 SETTINGS {guard.FILTERS} = {rest}", {}
    )
    if passes:
        assert len(guard.conditions(read)) == number
    else:
        with pytest.raises(ServerError):
            guard.conditions(read)


def test_kill_must_name_exactly_one_query() -> None:
    assert guard.kill_target("KILL QUERY WHERE query_id = 'a-1' ASYNC FORMAT JSON") == ("a-1", "JSON")
    for text in (
        "KILL QUERY WHERE 1",
        "KILL QUERY WHERE query_id = 'a' OR 1 SYNC",
        "KILL MUTATION WHERE 1",
        "SELECT 1",
    ):
        with pytest.raises(ServerError, match="KILL QUERY takes"):
            guard.kill_target(text)
