"""What tools send to ClickHouse's HTTP interface: look-ups, filters, formats, typing errors."""

from typing import Any

import aiohttp
import pytest
from raw_http import ask as raw

WRITES, READS = "writes", "reads"
VISITS = "SELECT sum(pageviews) FROM visits"
SECRET = "SELECT 1 FROM system.processes"


@pytest.fixture
async def door(url: str) -> str:
    for statement in (
        "CREATE DATABASE IF NOT EXISTS lpstream",
        "CREATE TABLE IF NOT EXISTS lpstream.t (lp_id String, pageviews UInt8) ENGINE = MergeTree ORDER BY lp_id",
        "CREATE OR REPLACE VIEW lpstream.visits AS SELECT * FROM lpstream.t",
        "TRUNCATE TABLE lpstream.t",
        "INSERT INTO lpstream.t VALUES ('x', 3), ('y', 5)",
    ):
        assert (await ask(url, statement, user="lpstream", key=WRITES, database="default"))[0] == 0
    return url


async def ask(
    url: str, text: str, *, user: str = "analyst", key: str = READS, headers: Any = None, **params: str
) -> tuple[int, str, Any]:
    """Return the error code (0 for none), the text and the headers of an answer."""
    login = {"X-ClickHouse-User": user, "X-ClickHouse-Key": key, **(headers or {})}
    async with (
        aiohttp.ClientSession(headers=login) as session,
        session.post(url, params={"database": "lpstream"} | params, data=text.encode()) as answer,
    ):
        code = int(answer.headers.get("X-ClickHouse-Exception-Code", "0"))
        return code, (await answer.text(errors="replace")).strip(), answer.headers


def filtered(condition: str, table: str = "visits") -> str:
    condition = condition.replace("'", "\\'")
    return f"{VISITS} SETTINGS additional_table_filters = {{'{table}' : '{condition}'}}"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        # Grafana's filters by hand ("ad hoc")
        (filtered(" lp_id = 'x' "), "3"),
        (filtered("lp_id = 'x' OR pageviews IN (5)", "lpstream.visits"), "8"),
        (f"{VISITS} SETTINGS additional_table_filters = {{}}", "8"),
        # drivers, DBeaver, DataGrip, Superset
        ("SELECT displayName(), hostName(), FQDN()", "lpstream-embedded\tlpstream-embedded\tlpstream-embedded"),
        ("SELECT hostname FROM (SELECT 1 AS hostname)", "1"),
        ("SELECT count() FROM system.clusters", "0"),
        ("SELECT count() FROM system.dictionaries", "0"),
        ("SELECT count() > 0 FROM system.data_skipping_indices WHERE database = 'nothing'", "0"),
        ("SELECT count() > 0 FROM system.licenses", "1"),
        ("SELECT count() FROM (VALUES (1), (2)) AS t", "2"),
        ("SELECT 1 AS n FORMAT jsoneachrow", '{"n":1}'),
        ("SELECT 1, 2 FORMAT CustomSeparated SETTINGS format_custom_field_delimiter = '|'", "1|2"),
        ("SELECT 1 SETTINGS describe_include_subcolumns = 1, log_queries = 0", "1"),
    ],
)
async def test_what_tools_send_is_answered(door: str, query: str, answer: str) -> None:
    assert (await ask(door, query))[:2] == (0, answer)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (filtered("file('/etc/hostname') != ''"), 497),
        (filtered("1 IN (SELECT 1 FROM system.processes)"), 497),
        (filtered("1 IN system.processes"), 497),
        (filtered("1) UNION ALL (SELECT 1"), 62),
        (filtered("1 SETTINGS max_execution_time = 0"), 452),
        (filtered("1 IN (SELECT 1 SETTINGS additional_table_filters = {})"), 497),
        (f"{VISITS} SETTINGS additional_table_filters = 'x'", 497),
        (f"{VISITS} SETTINGS additional_result_filter = 'x'", 452),
        (f"{VISITS} SETTINGS max_threads = {{'a' : 'b'}}", 497),
        (f"SELECT * FROM ({SECRET})", 497),
    ],
)
async def test_a_filter_is_checked_like_a_query(door: str, query: str, code: int) -> None:
    answer = await ask(door, query)
    assert answer[0] == code, answer


async def test_filters_are_taken_only_in_a_query(door: str) -> None:
    filters = "{'visits' : 'lp_id = 1'}"
    assert (await ask(door, VISITS, additional_table_filters=filters))[0] == 452
    assert (await ask(door, f"SET additional_table_filters = {filters}", session_id="filters"))[0] == 452


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("SELECT dateDif('day', now(), now())", 46, "dateDiff"),
        ("SELECT nothing_like_this(1)", 46, "does not exist"),
        ("SELECT * FROM generatSeries(1, 2)", 46, "generateSeries"),
        ("SELECT * FROM lpstrem.visits", 81, "lpstream"),
        ("SELECT * FROM system.setings", 60, "system.settings"),
        ("SHOW TABLES FROM lpstrem", 81, "lpstream"),
        ("SELECT 1 FORMAT JSN", 73, "JSON"),
        ("SELECT file('x')", 497, "file()"),
        ("SELECT * FROM url('http://x/')", 497, "url()"),
        ("SELECT * FROM system.users", 497, "system.users"),
        ("SELECT 1 FORMAT Template", 497, "Template"),
        ("SHOW TABLES WHERE name = 'x'", 497, "system.tables"),
        ("INSERT INTO visits VALUES (1)", 497, "temporary tables"),
        ("CREATE VIEW x AS SELECT 1", 497, "temporary tables"),
    ],
)
async def test_a_typing_error_is_told_from_a_refusal(door: str, query: str, code: int, words: str) -> None:
    answer = await ask(door, query)
    assert answer[0] == code and words in answer[1], answer


async def test_names_of_a_request_are_checked_in_the_same_way(door: str) -> None:
    for params, code, words in (
        ({"default_format": "jsoneachrow"}, 0, '{"n":1}'),
        ({"default_format": "JSONEachRo"}, 73, "JSONEachRow"),
        ({"database": "lpstrem"}, 81, "lpstream"),
        ({"database": "system"}, 497, "system"),
    ):
        answer = await ask(door, "SELECT 1 AS n", **params)
        assert answer[0] == code and words in answer[1], answer


async def test_a_page_may_read_an_answer_that_it_asks_for(url: str) -> None:
    origin = {"Origin": "http://tool.example"}
    for text in ("SELECT 1", "SELEC 1"):
        headers = (await ask(url, text, headers=origin, database="", add_http_cors_header="1"))[2]
        assert headers["Access-Control-Allow-Origin"] == "*"
        headers = (await ask(url, text, headers=origin, database=""))[2]
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"authorization: basic YW5hbHlzdDpyZWFkcw==", 200),
        (b"Authorization: Basic !", 403),
        (b"X-ClickHouse-User: analyst\r\nX-ClickHouse-Key: \xff", 403),
        (b"X-ClickHouse-User: \xff\r\nX-ClickHouse-Key: reads", 403),
    ],
)
async def test_odd_logins_are_answered(url: str, head: bytes, status: int) -> None:
    request = b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"
    assert (await raw(url, request)).status == status


@pytest.mark.parametrize("query_id", ["a\r\nSet-Cookie: x=1", "a\0b", "\n", "\U0001f35c"])
async def test_an_odd_query_id_does_not_break_the_answer(url: str, query_id: str) -> None:
    code, text, headers = await ask(url, "SELECT 1", database="", query_id=query_id)
    assert (code, text, "Set-Cookie" in headers) == (0, "1", False)
