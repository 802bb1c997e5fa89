"""Settings of inserts.

The real client and the embedded ClickHouse server, with a recording proxy between.
"""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs

import aiohttp
import pyarrow as pa
import pytest
from aiohttp import web

from infra.clickhouse import client as module
from infra.clickhouse.client import ANSWER_TIMEOUT_S, ClickHouse
from infra.embedded import stores
from infra.embedded.ports import Ports
from schemas.errors import Retryable

PASSWORD = "inserts"
ROWS = pa.table({"n": [1, 2, 3]})


class Recorder:
    """A proxy that forwards requests and records the parameters of inserts."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.inserts: list[dict[str, str]] = []
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        if body.startswith(b"INSERT") or "INSERT" in request.query.get("query", ""):
            self.inserts.append({name: values[0] for name, values in parse_qs(request.query_string).items()})
        kept = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self.target + request.raw_path, data=body, headers=kept) as answer,
        ):
            names = ("X-ClickHouse-Exception-Code", "X-ClickHouse-Timezone", "X-ClickHouse-Format")
            headers = {name: answer.headers[name] for name in names if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("clickhouse")
    port = Ports(data).get("clickhouse")
    started = stores.clickhouse(data, port, PASSWORD, "analyst")
    started.start()
    yield f"http://127.0.0.1:{port}"
    started.process.stop()


@pytest.fixture
async def recorder(server: str) -> AsyncIterator[Recorder]:
    made = Recorder(server)
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def clickhouse(recorder: Recorder) -> AsyncIterator[ClickHouse]:
    opened = ClickHouse.open(recorder.url, "lpstream", PASSWORD, "default")
    await opened.command(
        "CREATE OR REPLACE TABLE numbers (n Int64) ENGINE = MergeTree ORDER BY n"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    yield opened
    await opened.close()


async def test_an_insert_sends_the_settings_of_its_guarantee(clickhouse: ClickHouse, recorder: Recorder) -> None:
    await clickhouse.insert("numbers", ROWS, "token-1")
    (sent,) = recorder.inserts
    expected = {
        "insert_deduplication_token": "token-1",
        "deduplicate_insert": "enable",
        "async_insert": "0",
        "optimize_on_insert": "0",
        "insert_quorum": "auto",
        "insert_quorum_parallel": "1",
    }
    assert {name: sent.get(name) for name in expected} == expected
    # The server must give up before the client, so that the log has the reason.
    assert 1_000 <= int(sent["insert_quorum_timeout"]) < ANSWER_TIMEOUT_S * 1_000


async def test_a_quorum_has_no_effect_on_plain_tables(clickhouse: ClickHouse) -> None:
    for _ in range(2):
        await clickhouse.insert("numbers", ROWS, "token-1")
    await clickhouse.insert("default.numbers", ROWS, "token-2")
    assert await clickhouse.rows("SELECT count() AS n FROM numbers") == [{"n": 6}]


@pytest.mark.parametrize(("replicas", "quorum"), [([1], "0"), ([3], "auto"), ([], "auto")])
async def test_a_single_replica_gets_no_quorum(
    clickhouse: ClickHouse, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, replicas: list[int], quorum: str
) -> None:
    monkeypatch.setattr(module, "REPLICAS", f"SELECT arrayJoin({replicas}::Array(UInt32)) AS n")
    await clickhouse.insert("numbers", ROWS, "token-1")
    assert recorder.inserts[0]["insert_quorum"] == quorum


async def test_an_insert_is_postponed_while_keeper_is_down(
    clickhouse: ClickHouse, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPLICAS", "SELECT 0 AS n")
    with pytest.raises(Retryable, match="Keeper"):
        await clickhouse.insert("numbers", ROWS, "token-1")
    assert recorder.inserts == []
    monkeypatch.setattr(module, "REPLICAS", "SELECT 3 AS n")
    await clickhouse.insert("numbers", ROWS, "token-1")
    assert len(recorder.inserts) == 1


async def test_the_number_of_replicas_is_refreshed_after_a_time(
    clickhouse: ClickHouse, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for replicas, wait_s in ((1, 60.0), (3, 60.0), (3, 0.0)):
        monkeypatch.setattr(module, "REPLICAS", f"SELECT {replicas} AS n")
        monkeypatch.setattr(module, "LOOK_AGAIN_S", wait_s)
        await clickhouse.insert("numbers", ROWS, f"token-{replicas}-{wait_s}")
    assert [one["insert_quorum"] for one in recorder.inserts] == ["0", "0", "auto"]


async def test_the_number_of_replicas_is_refreshed_after_an_error(
    clickhouse: ClickHouse, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = recorder.target
    for replicas in (3, 1):
        monkeypatch.setattr(module, "REPLICAS", f"SELECT {replicas} AS n")
        await clickhouse.insert("numbers", ROWS, f"token-{replicas}")
        recorder.target = "http://127.0.0.1:1"
        with pytest.raises(Retryable):
            await clickhouse.insert("numbers", ROWS, "token-lost")
        recorder.target = target
    assert [one["insert_quorum"] for one in recorder.inserts] == ["auto", "auto", "0", "0"]


async def test_errors_of_keeper_and_quorum_are_retryable(clickhouse: ClickHouse) -> None:
    names = (
        "NO_ZOOKEEPER",
        "DUPLICATE_DATA_PART",  # Keeper and the server disagree about a part; the server repairs it
        "TABLE_IS_READ_ONLY",
        "UNEXPECTED_ZOOKEEPER_ERROR",
        "TOO_FEW_LIVE_REPLICAS",
        "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
        "UNKNOWN_STATUS_OF_INSERT",
        "QUERY_WAS_CANCELLED",  # a partition was dropped meanwhile
        "KEEPER_EXCEPTION",
    )
    codes = "SELECT number AS code FROM numbers(1000) WHERE errorCodeToName(number) IN {names:Array(String)}"
    found = {row["code"] for row in await clickhouse.rows(codes, {"names": list(names)})}
    assert len(found) == len(names) and found - module.RETRYABLE == set()
