"""ClickHouse's HTTP interface on the embedded server: sessions, settings, forms, codings, methods."""

import asyncio
import lzma
import zlib
from typing import Any

import aiohttp
import pyarrow as pa
import pytest

from infra.embedded.clickhouse_server import allowed

KEYS = {"analyst": "reads", "lpstream": "writes"}
THREADS = "SELECT value FROM system.settings WHERE name = 'max_threads'"
BOTH = pytest.mark.parametrize("user", sorted(KEYS))


async def ask(
    url: str, data: Any = None, *, method: str = "POST", user: str = "analyst", headers: Any = None, **params: str
) -> tuple[int, str]:
    """Return the error code (0 for none) and the text of an answer."""
    login = {"X-ClickHouse-User": user, "X-ClickHouse-Key": KEYS[user], **(headers or {})}
    async with (
        aiohttp.ClientSession(headers=login) as session,
        session.request(method, url, params=params, data=data) as answer,
    ):
        code = int(answer.headers.get("X-ClickHouse-Exception-Code", "0"))
        assert code or answer.status < 300, await answer.text()
        return code, (await answer.text()).strip()


@BOTH
async def test_a_session_keeps_settings_database_and_tables(url: str, user: str) -> None:
    session: Any = {"session_id": f"keeps-{user}", "user": user}
    assert await ask(url, "SET max_threads = 1, join_use_nulls = 1", **session) == (0, "")
    assert await ask(url, "USE information_schema", **session) == (0, "")
    assert await ask(url, "CREATE TEMPORARY TABLE t (n UInt8, s Nullable(String))", **session) == (0, "")
    assert await ask(url, "INSERT INTO t VALUES (1, 'a'), (2, NULL)", **session) == (0, "")
    assert await ask(url, "INSERT INTO t FORMAT CSV\n3,c\n", **session) == (0, "")
    assert await ask(url, b"4\td\n", query="INSERT INTO t FORMAT TSV", **session) == (0, "")
    assert await ask(url, "INSERT INTO t (n) SELECT 5", **session) == (0, "")
    assert await ask(url, "SELECT groupArray(n), currentDatabase() FROM t", **session) == (
        0,
        "[1,2,3,4,5]\tinformation_schema",
    )
    assert await ask(url, THREADS, **session) == (0, "1")
    assert (await ask(url, "SELECT 1 FROM t", user=user))[0] == 60
    assert await ask(url, "DROP TABLE t", **session) == (0, "")
    assert (await ask(url, "SELECT 1 FROM t", **session))[0] == 60


@BOTH
async def test_settings_of_a_query_end_with_it_in_a_session(url: str, user: str) -> None:
    session: Any = {"session_id": f"ends-{user}", "user": user}
    await ask(url, "CREATE TEMPORARY TABLE t AS SELECT 1 AS n", **session)
    await ask(url, "SET max_threads = 1, max_block_size = 7", **session)
    query = "SELECT getSetting('max_block_size'), getSetting('join_use_nulls') FROM t"
    assert await ask(url, query, max_block_size="8", join_use_nulls="1", **session) == (0, "8\ttrue")
    assert await ask(url, query, **session) == (0, "7\tfalse")
    await ask(url, "SET max_block_size = DEFAULT, format_csv_delimiter = '\\t'", **session)
    assert await ask(url, "SELECT 1, 2 FORMAT CSV", **session) == (0, "1\t2")
    assert await ask(url, query, **session) == (0, "65409\tfalse")


async def test_a_session_belongs_to_its_user(url: str) -> None:
    await ask(url, "CREATE TEMPORARY TABLE mine AS SELECT 1 AS n", session_id="shared")
    assert (await ask(url, "SELECT * FROM mine", user="lpstream", session_id="shared"))[0] == 60


async def test_a_session_ends_after_its_timeout(url: str) -> None:
    await ask(url, "SET max_threads = 1", session_id="short", session_timeout="1")
    assert await ask(url, THREADS, session_id="short", session_timeout="1", session_check="1") == (0, "1")
    await asyncio.sleep(1.2)
    code, text = await ask(url, THREADS, session_id="short", session_check="1")
    assert (code, "Session short not found" in text, "SESSION_NOT_FOUND" in text) == (372, True, True)
    assert (await ask(url, THREADS, session_id="short"))[1] == str(allowed.LIMITS["max_threads"])


async def test_a_client_can_close_its_session(url: str) -> None:
    await ask(url, "SET max_threads = 1", session_id="closed", close_session="1")
    assert (await ask(url, "SELECT 1", session_id="closed", session_check="1"))[0] == 372


@pytest.mark.parametrize(("timeout", "reason"), [("3601", "max_session_timeout"), ("x", "Invalid"), ("-1", "Invalid")])
async def test_a_wrong_session_timeout_is_refused(url: str, timeout: str, reason: str) -> None:
    code, text = await ask(url, "SELECT 1", session_id="wrong", session_timeout=timeout)
    assert (code, reason in text) == (374, True)


async def test_a_session_serves_one_query_at_a_time(url: str) -> None:
    slow = "SELECT sum(sipHash64(toString(number))) FROM numbers(1900000000)"
    first = asyncio.create_task(ask(url, slow, session_id="busy", max_execution_time="2"))
    await asyncio.sleep(0.5)
    code, text = await ask(url, "SELECT 1", session_id="busy")
    assert (code, "Session busy is locked by a concurrent client" in text) == (373, True)
    assert (await first)[0] == 159
    assert await ask(url, "SELECT 1", session_id="busy") == (0, "1")


async def test_tables_of_a_session_are_bounded(url: str) -> None:
    big = "CREATE TEMPORARY TABLE big AS SELECT number, toString(number) AS s FROM numbers(4000000)"
    code, text = await ask(url, big, session_id="big")
    assert (code, "67108864 bytes" in text) == (241, True)
    await ask(url, "SET offset = 1, max_rows_to_read = 1, result_overflow_mode = 'break'", session_id="big")
    assert (await ask(url, big, session_id="big", max_rows_to_read="4000000"))[0] == 241
    assert (await ask(url, "SELECT 1 FROM big", session_id="big"))[0] == 60


async def test_sessions_with_tables_are_bounded(url: str) -> None:
    create = "CREATE TEMPORARY TABLE t (n UInt8)"
    codes = [(await ask(url, create, session_id=f"n{number}"))[0] for number in range(25)]
    assert codes[-1] == 700 and codes.count(0) <= 20
    for number in range(25):
        await ask(url, "SELECT 1", session_id=f"n{number}", close_session="1")
    assert (await ask(url, "CREATE TEMPORARY TABLE t (n UInt8)", session_id="again"))[0] == 0


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("CREATE TEMPORARY TABLE x (a UInt8 DEFAULT length(file('/etc/hostname')))", 36),
        ("CREATE TEMPORARY TABLE x (a UInt8 CODEC(ZSTD))", 36),
        ("CREATE TEMPORARY TABLE x ENGINE = File(CSV) AS SELECT 1 AS a", 497),
        ("CREATE TEMPORARY TABLE x AS file('/etc/hostname')", 497),
        ("CREATE TEMPORARY TABLE x AS SELECT file('/etc/hostname')", 497),
        ("CREATE TEMPORARY TABLE x AS system.processes", 497),
        ("CREATE TABLE lpstream.x (a UInt8) ENGINE = Memory", 497),
        ("CREATE VIEW x AS SELECT 1", 497),
        ("CREATE OR REPLACE FUNCTION f AS x -> x", 497),
        ("INSERT INTO t VALUES (length(file('/etc/hostname')))", 344),
        ("INSERT INTO t SELECT length(file('/etc/hostname'))", 497),
        ("INSERT INTO t SELECT 1 SETTINGS max_threads = 1000", 452),
        ("INSERT INTO t SELECT n FROM input('n UInt8') FORMAT CSV", 497),
        ("INSERT INTO FUNCTION file('x') SELECT 1", 497),
        ("INSERT INTO t FROM INFILE '/etc/hostname' FORMAT LineAsString", 497),
        ("INSERT INTO t FORMAT Template\n", 497),
        ("INSERT INTO system.settings SELECT 1", 497),
        ("DROP TABLE information_schema.tables", 497),
        ("DROP DATABASE information_schema", 497),
        ("TRUNCATE ALL TABLES FROM lpstream", 497),
        ("SET readonly = 0", 164),
        ("SET max_execution_time = 0", 452),
        ("SET max_execution_time = 5, max_memory_usage = 99999999999", 452),
        ("SET allow_introspection_functions = 1", 452),
        ("SET input_format_values_interpret_expressions = 1", 452),
        ("SET format_schema = '/etc/passwd'", 452),
        ("SET nothing = 1", 115),
        ("SET nothing = DEFAULT", 115),
        ("SET ROLE ALL", 497),
        ("USE others", 81),
        ("USE system", 497),
    ],
)
async def test_an_analysts_session_takes_only_listed_statements(url: str, statement: str, code: int) -> None:
    await ask(url, "CREATE TEMPORARY TABLE IF NOT EXISTS t (n UInt8)", session_id="listed")
    answer = await ask(url, statement, session_id="listed")
    assert answer[0] in (code, 62), answer
    assert await ask(url, f"{THREADS} SETTINGS max_threads = 1", session_id="listed") == (0, "1")


async def test_a_table_that_is_not_temporary_cannot_be_written_or_dropped(url: str) -> None:
    for statement in ("CREATE DATABASE IF NOT EXISTS lpstream", "CREATE TABLE lpstream.kept (n UInt8) ENGINE = Memory"):
        assert (await ask(url, statement, user="lpstream"))[0] == 0
    for statement in (
        "INSERT INTO kept SELECT 1", "INSERT INTO kept VALUES (1)", "INSERT INTO kept FORMAT CSV\n1\n",
        "DROP TABLE kept", "TRUNCATE TABLE kept", "DROP TABLE IF EXISTS kept",
    ):  # fmt: skip
        answer = await ask(url, statement, session_id="kept", database="lpstream")
        assert answer[0] == 164, answer
    assert await ask(url, "SELECT count() FROM kept", database="lpstream") == (0, "0")


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT 1 SETTINGS max_threads = 1, join_use_nulls = 1", "1"),
        ("SELECT 1 AS n FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0", '{"n":1}'),
        ("SELECT 1 AS n SETTINGS max_threads = 1 FORMAT JSONEachRow", '{"n":1}'),
        ("SELECT (SELECT getSetting('join_use_nulls') SETTINGS join_use_nulls = 1)", "true"),
        ("SELECT getSetting('join_use_nulls') SETTINGS join_use_nulls", "true"),
        ("SELECT 1 UNION ALL SELECT 1 SETTINGS union_default_mode = 'DISTINCT'", "1\n1"),
        ("SELECT getSetting('max_result_rows') SETTINGS max_result_rows = {most:UInt64}", "5"),
        ("SELECT ' FORMAT JSON SETTINGS x = 1'", "FORMAT JSON SETTINGS x = 1"),
        ("SELECT 1 SETTINGS readonly = 2, timeout_overflow_mode = 'throw', log_comment = 'page 1'", "1"),
        ("DESCRIBE TABLE system.one SETTINGS max_threads = 1", "dummy\tUInt8"),
    ],
)
async def test_a_query_may_have_settings(url: str, query: str, answer: str) -> None:
    assert await ask(url, query, **({"param_most": "5"} if "{most" in query else {})) == (0, answer)


@pytest.mark.parametrize("settings", ["max_result_rows = 1", "limit = 1", "offset = 9", "max_result_bytes = 1"])
@pytest.mark.parametrize("mode", ["", "result_overflow_mode = 'break', "])
async def test_low_limits_do_not_hide_what_a_query_reads(url: str, settings: str, mode: str) -> None:
    pairs = [pair.split(" = ") for pair in f"{mode}{settings}".split(", ")]
    in_url = {name: value.strip("'") for name, value in pairs}
    for query in ("SELECT 1 IN system.processes", "SELECT count() FROM (SELECT * FROM system.processes)"):
        assert (await ask(url, f"{query} SETTINGS {mode}{settings}"))[0] == 497
        assert (await ask(url, query, **in_url))[0] == 497
        assert (await ask(url, f"SET {mode}{settings}", session_id="low", close_session="0"))[0] == 0
        assert (await ask(url, query, session_id="low", close_session="1"))[0] == 497


REFUSED = [
    ("max_execution_time", "0", 452, "Setting max_execution_time shouldn't be less than 1"),
    ("max_execution_time", "65", 0, ""),
    ("max_execution_time", "66", 452, "Setting max_execution_time shouldn't be greater than 65"),
    ("max_result_rows", "many", 27, "max_result_rows"),
    ("max_memory_usage", "99999999999999999999", 452, "max_memory_usage shouldn't be greater than 1000000000"),
    ("max_rows_to_read", "-1", 452, "max_rows_to_read shouldn't be less than 1"),
    ("timeout_overflow_mode", "break", 452, "Setting timeout_overflow_mode should not be changed"),
    ("format_schema", "x", 452, "Setting format_schema should not be changed"),
    ("additional_result_filter", "file(1)", 452, "additional_result_filter"),
    ("readonly", "0", 164, "Cannot modify 'readonly' setting in readonly mode"),
    ("no_such_setting", "1", 115, "Unknown setting 'no_such_setting'"),
]


@pytest.mark.parametrize(("name", "value", "code", "text"), REFUSED, ids=lambda value: str(value)[:30])
async def test_a_refused_setting_is_named_wherever_it_stands(
    url: str, name: str, value: str, code: int, text: str
) -> None:
    literal = value if value.lstrip("-").replace("e", "").isdigit() else f"'{value}'"
    in_text = f"{name} = {literal}"
    for answer in (
        await ask(url, "SELECT 1", **{name: value}),
        await ask(url, f"SELECT 1 SETTINGS {in_text}"),
        await ask(url, f"SELECT (SELECT 1 SETTINGS {in_text})"),
        await ask(url, f"SET {in_text}", session_id="refused"),
    ):
        assert answer[0] == code and text in answer[1], answer


def form(**fields: Any) -> aiohttp.FormData:
    body = aiohttp.FormData()
    for name, value in fields.items():
        body.add_field(name, value, filename=f"{name}.dat" if isinstance(value, bytes) else None)
    return body


@BOTH
async def test_a_form_carries_tables(url: str, user: str) -> None:
    tables: Any = {"ids_structure": "n UInt64, word String", "ids_format": "CSV", "more_types": "UInt8, Enum('a,' = 1)"}
    query = "SELECT groupArray(word), count() FROM ids JOIN more ON n = _1"
    data = form(ids="1,ラーメン\n2,そば\n".encode(), more=b"2\ta,\n3\ta,\n")
    assert await ask(url, data, user=user, query=query, **tables) == (0, "['そば']\t1")
    data = form(ids=b"9,x\n", query="SELECT n, {p:String} FROM ids", param_p="y", **tables)
    assert await ask(url, data, user=user) == (0, "9\ty")
    session: Any = {"session_id": f"form-{user}", "user": user}
    await ask(url, "CREATE TEMPORARY TABLE kept AS SELECT 2 AS n", **session)
    query = "SELECT word FROM ids JOIN kept USING n"
    assert await ask(url, form(ids=b"2,x\n"), query=query, **session, **tables) == (0, "x")
    assert (await ask(url, "SELECT 1 FROM ids", **session))[0] == 60


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ({}, 36),
        ({"ids_structure": "n UInt8) ENGINE = File(CSV, '/etc/passwd'"}, 36),
        ({"ids_structure": "n UInt8 DEFAULT length(file('/etc/hostname'))"}, 36),
        ({"ids_types": "UInt8) AS SELECT (file('/etc/hostname')"}, 36),
        ({"ids_structure": "n Nothing8"}, 50),
        ({"ids_structure": "n UInt8", "ids_format": "Template"}, 497),
        ({"ids_structure": "n UInt8", "ids_format": "CSV' , "}, 497),
        ({"ids_structure": "n UInt8", "ids_format": "Values"}, 344),
    ],
)
async def test_a_wrong_table_of_a_form_is_refused(url: str, tables: dict[str, str], code: int) -> None:
    data = form(ids=b"(length(file('/etc/hostname')))" if tables.get("ids_format") == "Values" else b"1\n")
    answer = await ask(url, data, query="SELECT n FROM ids", **tables)
    assert answer[0] in (code, 62), answer


async def test_a_form_is_bounded(url: str) -> None:
    tables = {"ids_structure": "n String"}
    assert (await ask(url, form(ids=b"x" * (2**24 + 1)), query="SELECT 1 FROM ids", **tables))[0] == 307
    many = {f"t{number}": b"1\n" for number in range(30)}
    assert (await ask(url, form(**many), query="SELECT 1", **{f"{name}_types": "UInt8" for name in many}))[0] == 36
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (
        b"",
        b"--y\r\n",
        b"--x\r\nContent-Disposition: form-data; name=q",
        b"--x\r\n\r\n\xff\r\n--x--\r\n",
        b"--x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n1\r\n--x--\r\n",
        b"--x\r\nno header\r\n\r\n1\r\n--x--\r\n",
    ):
        assert (await ask(url, body, headers=headers, query="SELECT 1"))[0] in (0, 36)


async def test_a_form_may_have_any_size_up_to_its_bound(url: str) -> None:
    data = form(ids=b"x" * 5_000_000)
    assert await ask(url, data, query="SELECT length(n) FROM ids", ids_structure="n String") == (0, "5000000")


async def test_bytes_that_are_not_text_are_answered_with_an_error(url: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await ask(url, body, headers=headers, query="SELECT 1"))[0] == 115
    data = form(ids=b"\x1f\x8b\xff\x90\xfe\n")
    assert (await ask(url, data, query="SELECT n FROM ids", ids_structure="n UInt8"))[0] == 27


def coded(coding: str, body: bytes) -> bytes:
    if coding == "deflate":
        return zlib.compress(body)
    if coding == "xz":
        return lzma.compress(body)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, {"br": "brotli"}.get(coding, coding)) as stream:
        stream.write(body)
    return bytes(sink.getvalue())


CODINGS = ["gzip", "deflate", "br", "zstd", "lz4", "xz", "bz2"]


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_coded_body_is_read_and_bounded(url: str, coding: str) -> None:
    headers = {"Content-Encoding": coding}
    assert await ask(url, coded(coding, b"SELECT 42"), headers=headers) == (0, "42")
    assert (await ask(url, coded(coding, b"SELECT 1" + b" " * 20_000_000), headers=headers))[0] == 307
    for wrong in (coded(coding, b"SELECT 'a long enough text'")[:-8], b"SELECT 1"):
        code, text = await ask(url, wrong, headers=headers)
        assert (code, coding in text) == (117, True)
    assert await ask(url, b"", query="SELECT 1", headers=headers) == (0, "1")


@pytest.mark.parametrize("coding", ["snappy", "compress", "br, gzip, br, gzip, br"])
async def test_an_unknown_coding_is_named(url: str, coding: str) -> None:
    headers = {"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": "reads", "Content-Encoding": coding}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data=b"SELECT 1") as answer:
        assert answer.status == 415 and "Content-Encoding" in await answer.text()


async def test_codings_are_undone_in_reverse(url: str) -> None:
    body = coded("br", coded("gzip", b"SELECT 42"))
    assert await ask(url, body, headers={"Content-Encoding": "gzip, br"}) == (0, "42")


async def chunks() -> Any:
    for part in (b"SEL", b"ECT ", b"42"):
        yield part


async def test_requests_of_every_shape_are_answered(url: str) -> None:
    assert await ask(url, chunks()) == (0, "42")
    assert await ask(url, method="GET", query="SELECT 42") == (0, "42")
    assert await ask(url, b"42", query="SELECT") == (0, "42")
    assert await ask(f"{url}/some/path", b"SELECT 42") == (0, "42")
    given: Any = {"wait_end_of_query": "1", "send_progress_in_http_headers": "1", "buffer_size": "10", "": "x"}
    assert await ask(url, b"SELECT {a:UInt8} AS n", param_a="42", default_format="JSONEachRow", **given) == (
        0,
        '{"n":42}',
    )
    named = {"X-ClickHouse-Format": "JSONEachRow", "X-ClickHouse-Database": "information_schema"}
    query = b"SELECT currentDatabase() AS d, query_id() AS q"
    answer = await ask(url, query, headers={**named, "X-ClickHouse-Query-Id": "mine"}, default_format="CSV")
    assert answer == (0, '{"d":"information_schema","q":"mine"}')


async def test_methods_are_answered_as_by_clickhouse(url: str) -> None:
    login = {"user": "analyst", "password": "reads"}
    async with aiohttp.ClientSession() as session:
        async with session.head(url, params={**login, "query": "SELECT 42"}) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with session.head(f"{url}/ping") as answer:
            assert answer.status == 200
        async with session.options(url, headers={"Origin": "http://tool.example"}) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Methods"]) == (204, "POST, GET, OPTIONS")
        async with session.get(f"{url}/nothing") as answer:
            assert answer.status == 404 and "There is no handle" in await answer.text()
        for method in ("PUT", "DELETE"):
            async with session.request(method, url, params={**login, "query": "SELECT 1"}) as answer:
                assert answer.status == 404


def test_no_setting_that_names_a_file_or_a_function_is_allowed() -> None:
    for name in (
        "format_schema", "format_schema_source", "format_template_row", "format_avro_schema_registry_url", "url_base",
        "output_format_schema", "additional_table_filters", "additional_result_filter", "dialect", "compatibility",
        "s3_create_new_file_on_insert", "max_ast_depth", "max_parser_depth", "max_query_size", "allow_ddl", "profile",
        "count_distinct_implementation", "input_format_json_max_depth", "implicit_select", "default_format",
    ):  # fmt: skip
        assert not allowed.SETTINGS.fullmatch(name), name
