"""The embedded server's SQL guard: queries of analysts, and their isolation from writers."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import lz4.frame
import pyarrow as pa
import pytest
from patience import SLACK_S

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.kit import KitQuery, kit
from infra.clickhouse.migrate import WarmStore, migrate
from infra.embedded import stores
from infra.embedded.clickhouse_server import allowed
from infra.embedded.ports import Ports

PASSWORDS = {"lpstream": "writes", "analyst": "reads"}
SLOW = "SELECT sum(sipHash64(toString(number))) FROM numbers(1900000000) WHERE NOT ignore('MARK')"
# 46, 73: a function or a format that the engine does not have, such as python() or CapnProto
REFUSED = {497, 164, 62, 452, 46, 73}
NAMES = {"processes": "system.processes", "system": "system", "table": "processes", "file": "file"}


@dataclass(frozen=True)
class Door:
    """The embedded server, and a secret file that no query may read."""

    url: str
    secret: Path

    @asynccontextmanager
    async def ask(self, text: str, user: str = "analyst", **params: str) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": PASSWORDS[user]}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.url, params={"database": "lpstream"} | params, data=text.encode()) as answer,
        ):
            yield answer

    async def result(self, text: str, user: str = "analyst", **params: str) -> tuple[int, str]:
        """Return the error code (0 for none) and the text of the answer."""
        async with self.ask(text, user, **params) as answer:
            return int(answer.headers.get("X-ClickHouse-Exception-Code", "0")), await answer.text()

    async def running(self, mark: str) -> int:
        """Return the number of running slow queries with this mark."""
        query = "SELECT count() FROM system.processes WHERE query LIKE {like:String}"
        return int((await self.result(query, "lpstream", param_like=f"SELECT sum%'{mark}')%"))[1])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    data = tmp_path_factory.mktemp("door")
    secret = data / "secret"
    secret.write_text("CANARY\n")
    port = Ports(data).get("clickhouse")
    started = stores.clickhouse(data, port, *PASSWORDS.values())
    started.start()
    url = f"http://127.0.0.1:{port}"
    asyncio.run(_migrate(url))
    yield Door(url, secret)
    started.process.stop()


async def _migrate(url: str) -> None:
    writer = ClickHouse.open(url, "lpstream", PASSWORDS["lpstream"], "default")
    await migrate(writer, timezone="Asia/Tokyo", warm=WarmStore("http://127.0.0.1:9/none", "key", "secret"))
    await writer.command("CREATE DATABASE others")
    await writer.command("CREATE TABLE others.t (a UInt8) ENGINE = MergeTree ORDER BY a")
    await writer.close()


ATTACKS = [
    # texts that a guard may parse differently from ClickHouse
    "SELECT 1 AS a$x$, file(SECRET)",
    "SELECT 1 /* /* */ , file(SECRET)",
    "SELECT 1 /* , file(SECRET)",
    "SELECT 1 -- /*\n, file(SECRET) -- */",
    "SELECT 1 AS a$$ INTO OUTFILE 'OUT' --$$",
    "SELECT * FROM {processes:Identifier}",
    "SELECT * FROM {system:Identifier}.{table:Identifier}",
    "SHOW PROCESSLIST",
    # functions called without name(…)
    "SELECT `file`(SECRET)",
    "SELECT file/**/(SECRET)",
    "SELECT arrayMap(file, [SECRET])",
    "SELECT arrayMap({file:Identifier}, [SECRET])",
    "WITH file AS f SELECT arrayMap(f, [SECRET])",
    "SELECT * APPLY(file) FROM (SELECT SECRET AS x)",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT SECRET AS x)",
    "SELECT COLUMNS('x') APPLY(`file`) FROM (SELECT SECRET AS x)",
    "SELECT * APPLY(quantile(length(file(SECRET)))) FROM (SELECT 1 AS x)",
    "SELECT * APPLY(x -> (SELECT count() FROM system.processes)) FROM (SELECT 1 AS x)",
    "WITH (x -> file(x)) AS f SELECT f(SECRET)",
    "SELECT * REPLACE(file(SECRET) AS x) FROM (SELECT 1 AS x)",
    "SELECT sum(number) OVER (ORDER BY number ROWS BETWEEN 1 PRECEDING AND length(file(SECRET)) FOLLOWING)"
    " FROM numbers(3)",
    "SELECT number, 1 AS z FROM numbers(3) ORDER BY number WITH FILL INTERPOLATE (z AS length(file(SECRET)))",
    "SELECT number FROM numbers(3) LIMIT length(file(SECRET))",
    "SELECT $$SECRET$$ AS p, file(p)",
    "SELECT 1 #! '\n, file(SECRET) --'",
    "SELECT sleep(1)",
    "SELECT dictGet('x', 'y', 1)",
    "SELECT joinGet(others.t, 'a', 1)",
    "SELECT getClientHTTPHeader('x')",
    "SELECT hasColumnInTable('others', 't', 'a')",
    # tables: chDB's database `default` opens files by name
    "SELECT * FROM SECRET",
    "SELECT * FROM default.`/etc/hostname`",
    "DESCRIBE TABLE SECRET",
    "EXISTS TABLE default.`/etc/hostname`",
    "SHOW CREATE TABLE default.`hostname`",
    "SHOW COLUMNS FROM hostname FROM default",
    "SELECT * FROM system . `processes`",
    'SELECT * FROM "system"."processes"',
    "SELECT 1 IN system.processes",
    "SELECT nullIn(1, system.processes)",
    "WITH system.processes AS p SELECT 1 IN p",
    "SELECT * FROM others.t",
    "SELECT * FROM lp_daily, others.t",
    "SELECT 1 IN others.t",
    "SELECT * FROM `lpstream.t`.`x`",
    # table functions
    "SELECT * FROM file(SECRET, 'LineAsString')",
    "FROM file(SECRET, 'LineAsString')",
    "DESCRIBE TABLE file(SECRET)",
    "SELECT * FROM view(SELECT file(SECRET))",
    "SELECT * FROM viewIfPermitted(SELECT * FROM others.t ELSE null('a UInt8'))",
    "SELECT * FROM merge('others', '.*')",
    "SELECT * FROM remote('127.0.0.1', others.t)",
    "SELECT * FROM loop(others.t)",
    "SELECT * FROM mergeTreeIndex(others, t)",
    "SELECT * FROM input('a String')",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM (EXPLAIN SELECT 1)",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "SELECT * FROM s3(lpstream_s3, filename = 'x')",
    "SELECT * FROM python('x')",
    # statements
    "SELECT 1; SELECT file(SECRET)",
    "EXPLAIN AST SELECT 1; SELECT file(SECRET)",
    "EXPLAIN QUERY TREE SELECT file(SECRET)",
    "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:1', 'b', 'c', 'd', 'e') PARTITION BY a",
    "EXPLAIN PLAN INSERT INTO FUNCTION file('OUT') SELECT 1",
    "INSERT INTO FUNCTION file('OUT', 'CSV', 'a String') SELECT 'x'",
    "INSERT INTO heatmap_windows (lp_id) FORMAT CSV x",
    "INSERT INTO heatmap_windows FROM INFILE SECRET FORMAT LineAsString",
    "WITH x AS (SELECT 1) INSERT INTO heatmap_windows (lp_id) SELECT 'x'",
    "CREATE TEMPORARY TABLE x AS SELECT file(SECRET)",
    "CREATE FUNCTION f AS x -> file(x)",
    "SET readonly = 0",
    "USE default",
    "EXECUTE AS default SELECT 1",
    "SYSTEM STOP MERGES",
    "KILL QUERY WHERE 1",
    "BACKUP TABLE others.t TO File('OUT')",
    "SHOW TABLES WHERE file(SECRET) != ''",
    "SHOW GRANTS",
    "SHOW CLUSTERS",
    "1 + length(file(SECRET))",
    # output files and formats
    "SELECT 1 INTO OUTFILE 'OUT'",
    "SHOW TABLES INTO OUTFILE 'OUT'",
    "EXPLAIN SELECT 1 INTO OUTFILE 'OUT'",
    "SELECT 1 FORMAT Template SETTINGS format_template_row = SECRET",
    "SELECT 1 FORMAT CapnProto",
    "SELECT formatRow('Template', 1)",
    # settings: 0 often means "no limit"
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT (SELECT 1 SETTINGS readonly = 0)",
    "DESCRIBE TABLE lp_daily SETTINGS readonly = 0",
    # names that would make the tree's lines ambiguous
    "SELECT `abs (children 1)`(1)",
    "SELECT `x (alias y)` FROM (SELECT 1)",
    'SELECT 1 AS "a\nFunction abs"',
    "SELECT '\\0', file(SECRET)",
    "SELECT x'ff'",
    "SELECT \u00a0file(SECRET)",
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: text[:60])
@pytest.mark.parametrize("database", ["lpstream", "default"])
async def test_a_forbidden_statement_is_refused(door: Door, tmp_path: Path, attack: str, database: str) -> None:
    text = attack.replace("SECRET", f"'{door.secret}'").replace("OUT", str(tmp_path / "out"))
    names = {f"param_{name}": value for name, value in NAMES.items() if f"{{{name}:" in attack}
    code, result = await door.result(text, database=database, **names)
    assert code in REFUSED, result
    assert "CANARY" not in result
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib has no advantage in an async function


@pytest.mark.parametrize(
    ("text", "expected"),
    [("(" * 30_000, 306), (" " * 66_000, 307), ("{a:String}", 62)],
    ids=["deep", "long", "long with its parameter"],
)
async def test_large_texts_are_refused_at_once(door: Door, text: str, expected: int) -> None:
    parameter = {"param_a": "x" * 7_000} if "{" in text else {}
    text = text + " " * 60_000 if parameter else text
    assert (await door.result(f"SELECT {text}", **parameter))[0] == expected


@pytest.mark.parametrize(("database", "code"), [("system", 497), ("others", 497), ("nothing", 81), ("SYSTEM", 497)])
async def test_another_database_is_refused(door: Door, database: str, code: int) -> None:
    assert (await door.result("SELECT * FROM processes", database=database))[0] == code


@pytest.mark.parametrize("name", ["Template", "CapnProto", "dataframe", "PostgreSQLWire"])
async def test_an_unlisted_format_is_refused(door: Door, name: str) -> None:
    assert (await door.result("SELECT 1", default_format=name))[0] in (497, 73)


async def test_the_body_is_part_of_the_statement(door: Door) -> None:
    code, result = await door.result(f"file('{door.secret}')", query="SELECT 1 AS a, ")
    assert code == 497
    assert "CANARY" not in result


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "lz4"])
async def test_a_long_body_is_not_read_to_its_end(door: Door, packed: bool) -> None:
    body = b"SELECT 1" + b" " * 20_000_000
    headers = {"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": "reads"}
    if packed:
        body, headers["Content-Encoding"] = lz4.frame.compress(body), "lz4"
    async with aiohttp.ClientSession(headers=headers) as session:
        try:
            async with session.post(door.url, data=body) as answer:
                assert answer.headers["X-ClickHouse-Exception-Code"] == "307"
        except aiohttp.ClientError:
            assert not packed  # the server closed the connection before it received the whole body


GOOD = [
    "SELECT version(), timezone(), currentUser(), currentDatabase()",
    "SELECT name, value, readonly FROM system.settings",
    "SELECT name, comment FROM system.columns WHERE table = 'click_map'",
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'lpstream'",
    "SELECT x, y, sum(hits) FROM click_map WHERE lp_id = 'demo-page' GROUP BY x, y -- a comment",
    "SELECT * APPLY(max) FROM lp_daily",
    "SELECT COLUMNS('pageviews|goals') APPLY(quantile(0.9)) FROM lp_daily",
    "SELECT * EXCEPT (lp_id) REPLACE (pageviews + 1 AS pageviews) FROM lp_daily",
    "SELECT avgOrNull(pageviews), argMaxIf(lp_id, day, 1), count(DISTINCT lp_id) FROM lp_daily",
    "SELECT arrayMap(x -> x + 1, [1, 2])[1], (1, 2).1, 1::String, INTERVAL 1 DAY + DATE '2020-01-01'",
    "SELECT arrayMap(upper, ['a']), CASE WHEN 1 THEN 2 END, trim(BOTH 'a' FROM 'b'), extract(YEAR FROM today())",
    "WITH RECURSIVE y AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM y WHERE n < 10) SELECT * FROM y",
    "WITH x AS (SELECT 1 AS a) SELECT a IN (SELECT a FROM x), a IN x FROM x",
    "SELECT rank() OVER w FROM lp_daily WINDOW w AS (ORDER BY pageviews ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    "SELECT a.lp_id FROM lp_daily AS a LEFT JOIN lp_daily AS b ON a.lp_id = b.lp_id, numbers(3) AS c",
    "SELECT number FROM numbers(9) WHERE number IN (1, 2) ORDER BY number DESC WITH FILL LIMIT 1 BY number LIMIT 5",
    "SELECT lp_id, grouping(lp_id) FROM lp_daily GROUP BY ROLLUP(lp_id) HAVING sum(pageviews) > 0",
    "(SELECT 1) UNION ALL (SELECT 2);",
    "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b UNION ALL SELECT * FROM a",
    "SELECT 'it''s', \"lp_id\", $$here$$ AS `ページ` FROM lp_daily",
    "SELECT toDate({day:String}), {lps:Array(String)} FROM lp_daily ORDER BY {column:Identifier}",
    "SHOW TABLES FROM lpstream LIKE '%map%'",
    "SHOW CREATE TABLE lpstream.lp_daily",
    "SHOW DATABASES",
    "DESC lpstream.lp_daily",
    "EXISTS TABLE lpstream.lp_daily",
    "EXPLAIN indexes = 1 SELECT * FROM heatmap_windows",
    "EXPLAIN SYNTAX SELECT * FROM lp_daily",
]


@pytest.mark.parametrize("query", GOOD)
async def test_an_allowed_statement_is_accepted(door: Door, query: str) -> None:
    values = {"day": "2026-01-01", "lps": "['a', 'b']", "column": "day"}
    parameters = {f"param_{name}": value for name, value in values.items() if f"{{{name}:" in query}
    code, result = await door.result(query, **parameters)
    assert code == 0, result


@pytest.mark.parametrize("one", kit(), ids=lambda one: one.name)
async def test_the_kits_queries_are_accepted(door: Door, one: KitQuery) -> None:
    values = {"String": "demo-page", "Date": "2026-01-01"}
    code, result = await door.result(
        one.sql, **{f"param_{name}": values.get(kind, "1") for name, kind in one.parameters.items()}
    )
    assert code == 0, result


async def test_the_answer_has_the_statements_format(door: Door) -> None:
    async with door.ask("SELECT 1 AS n FORMAT JSONEachRow") as answer:
        assert (answer.headers["X-ClickHouse-Format"], await answer.text()) == ("JSONEachRow", '{"n":1}\n')


async def test_the_allowed_functions_have_no_outside_access(door: Door) -> None:
    _, text = await door.result("SELECT name FROM system.functions", "lpstream")
    known = text.split()
    closed = [name for name in known if not allowed.allows_function(name)]
    assert {"file", "sleep", "sleepEachRow", "dictGet", "joinGet", "getMacro", "fuzzQuery", "formatRow"} <= set(closed)
    assert {name.lower() for name in closed}.isdisjoint(allowed.FUNCTIONS)
    _, text = await door.result("SELECT name FROM system.table_functions", "lpstream")
    assert {name for name in text.split() if allowed.allows_function(name)} == {
        "format"
    }  # `format` reads only its own argument


@pytest.mark.parametrize("value", ["0", "", "99999999999999999999999", "-1", "1e99", "nan", "0.5", "DEFAULT"])
@pytest.mark.parametrize("name", allowed.LIMITS)
async def test_limits_cannot_be_switched_off(door: Door, name: str, value: str) -> None:
    code, result = await door.result("SELECT 1", **{name: value})
    assert code in (27, 452) and name in result


async def test_limits_hold_without_settings(door: Door) -> None:
    query = "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}"
    code, result = await door.result(query, param_names=str(list(allowed.LIMITS)))
    assert code == 0, result
    effective = dict(line.split("\t") for line in result.splitlines())
    assert {name: int(effective[name]) for name in allowed.LIMITS} == allowed.LIMITS


async def test_a_lower_limit_can_be_requested(door: Door) -> None:
    code, result = await door.result("SELECT count() FROM numbers(1000)", max_rows_to_read="10")
    assert (code, "max_rows_to_read" in result) == (158, True)
    assert (await door.result(SLOW, max_execution_time="1"))[0] == 159


@pytest.mark.parametrize("name", ["readonly", "format_template_row", "format_schema", "implicit_select"])
async def test_other_settings_are_refused(door: Door, name: str) -> None:
    code, result = await door.result("SELECT 1", **{name: "7"})
    assert code in (164, 452) and name in result


async def test_a_clients_label_does_not_replace_the_servers_own(door: Door) -> None:
    query = "SELECT value = '7' FROM system.settings WHERE name = 'log_comment'"
    assert await door.result(query, log_comment="7") == (0, "0\n")


@asynccontextmanager
async def slow_queries(door: Door, count: int, mark: str) -> AsyncIterator[list["asyncio.Task[tuple[int, str]]"]]:
    """Run `count` slow queries as analyst, with ids `mark-0`, `mark-1` …, and cancel them at the end."""
    parameters = [
        door.result(SLOW.replace("MARK", mark), query_id=f"{mark}-{n}", max_execution_time="25") for n in range(count)
    ]
    tasks = [asyncio.create_task(one) for one in parameters]
    while await door.running(mark) < min(count, 4):
        await asyncio.sleep(0.05)
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    while await door.running(mark):
        await asyncio.sleep(0.05)


async def test_the_writer_does_not_wait_for_analysts(door: Door) -> None:
    writer = ClickHouse.open(door.url, "lpstream", PASSWORDS["lpstream"], "others")
    await writer.insert("t", pa.table({"a": pa.array([1], pa.uint8())}), "before")
    async with slow_queries(door, 14, "writer"):
        started = time.monotonic()
        for number in range(5):
            await writer.insert("t", pa.table({"a": pa.array([number], pa.uint8())}), f"token-{number}")
        assert time.monotonic() - started < SLACK_S
        assert await door.running("writer") == 4
    await writer.close()


async def test_too_many_analyst_queries_get_error_202(door: Door) -> None:
    async with slow_queries(door, 20, "many"):
        await asyncio.sleep(0.5)
        code, result = await door.result("SELECT 1")
        assert (code, "Too many simultaneous queries for analyst" in result) == (202, True)


async def test_a_disconnected_client_cancels_its_query(door: Door) -> None:
    async with slow_queries(door, 6, "leaves") as tasks:
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(8):
            while await door.running("leaves"):
                await asyncio.sleep(0.05)
            assert await door.result("SELECT 1") == (0, "1\n")


async def test_an_analyst_can_kill_its_own_query(door: Door) -> None:
    async with slow_queries(door, 6, "killed") as tasks:
        code, result = await door.result("KILL QUERY WHERE query_id = 'killed-0' SYNC")
        assert (code, result) == (0, "waiting\tkilled-0\tanalyst\n")
        code, result = await asyncio.wait_for(tasks[0], 8)
        assert (code, "Query was cancelled" in result) == (394, True)
        assert not tasks[1].done()


async def test_an_analyst_cannot_kill_the_writers_query(door: Door) -> None:
    owner = door.result(SLOW.replace("MARK", "owners"), "lpstream", query_id="owners-0", max_execution_time="3")
    task = asyncio.create_task(owner)
    while not await door.running("owners"):
        await asyncio.sleep(0.05)
    assert await door.result("KILL QUERY WHERE query_id = 'owners-0'") == (0, "")
    assert (await task)[0] in (0, 159)
