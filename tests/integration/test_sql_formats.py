"""Compressed frames and Native blocks of the embedded ClickHouse server."""

import aiohttp
import pyarrow as pa
import pytest
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform
from clickhouse_connect.driverc.buffer import ResponseBuffer

from infra.embedded.clickhouse_server.errors import ServerError
from infra.embedded.clickhouse_server.frames import compressed, inflated
from infra.embedded.clickhouse_server.native import with_revision

HEADERS = {"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": "reads"}
COLUMNS = (
    "number", "toString(number)", "toFixedString('ab', 2)", "CAST(if(number % 2 = 0, NULL, number), 'Nullable(UInt8)')",
    "toLowCardinality(toString(number % 3))", "CAST(if(number = 1, NULL, 'x'), 'LowCardinality(Nullable(String))')",
    "arrayMap(x -> toString(x), range(number % 4))", "CAST([], 'Array(UInt64)')", "[[1, 2], [], [number]]",
    "arrayMap(x -> toLowCardinality(x), ['a', 'b'])", "map('k', [number], 'l', [])",
    "CAST((number, 'a, (b)'), 'Tuple(n UInt64, `odd, name` String)')", "toDecimal32(1.5, 2)", "toDecimal128(1.5, 20)",
    "toDate('2026-11-29')", "toDate32('1925-01-01')", "toDateTime('2026-11-29 01:02:03', 'Asia/Tokyo')",
    "toDateTime64('2026-11-29 01:02:03.5', 3, 'UTC')", "toUUID('0b7f9e58-3f0e-4c55-9a53-6a1c80a8f0d7')",
    "toIPv6('::1')",
    "toInt256(-5)", "toFloat32(0.5)", "true", "CAST('it''s (a), b', 'Enum8(\\'it\\'\\'s (a), b\\' = 1, \\'c\\' = 2)')",
    "CAST(['b'], 'Array(Enum16(\\'a\\' = 1, \\'b\\' = 300))')", "NULL",
)  # fmt: skip


async def ask(url: str, text: bytes, **params: str) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(url, params={"default_format": "Native", **params}, data=text) as answer,
    ):
        return answer.status, await answer.read()


def values(body: bytes, *, block_info: bool) -> list[tuple[object, ...]]:
    """Return the rows of Native blocks, read by clickhouse-connect."""

    class Chunks:
        gen = iter([body])

        def close(self) -> None:
            """Do nothing."""

    context = QueryContext()
    context.block_info = block_info
    return [tuple(row) for row in NativeTransform.parse_response(ResponseBuffer(Chunks()), context).result_rows]


@pytest.mark.parametrize("column", COLUMNS)
async def test_blocks_of_a_newer_revision_have_the_same_values(url: str, column: str) -> None:
    query = f"SELECT {column} AS c, toString(number) AS after FROM numbers(7)".encode()
    status, plain = await ask(url, query, max_block_size="3")
    assert status == 200, plain
    status, newer = await ask(url, query, max_block_size="3", client_protocol_version="54000")
    assert status == 200, newer
    assert newer != plain and values(newer, block_info=True) == values(plain, block_info=False)
    with_flags = with_revision(plain, 54_460)
    assert len(with_flags) == len(newer) + 2 * (len(newer) - len(plain)) // 8


async def test_an_aggregate_state_in_native_is_an_error_that_names_it(url: str) -> None:
    status, body = await ask(url, b"SELECT sumState(number) FROM numbers(3)", client_protocol_version="54460")
    assert status == 501 and b"AggregateFunction" in body
    status, body = await ask(url, b"SELECT 1", client_protocol_version="new")
    assert status == 400 and b"client_protocol_version" in body


async def test_answers_and_errors_are_compressed_after_the_login(url: str) -> None:
    status, body = await ask(url, b"SELECT number FROM numbers(300000) FORMAT CSV", compress="1")
    assert status == 200
    assert inflated(body, 1 << 24) == b"".join(b"%d\n" % number for number in range(300_000))
    status, body = await ask(url, b"SELECT nothing", compress="1")
    assert status == 404 and b"UNKNOWN_IDENTIFIER" in inflated(body, 10_000)
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, params={"compress": "1"}, data=b"SELECT 1") as answer,
    ):
        assert answer.status == 403 and b"AUTHENTICATION_FAILED" in await answer.read()


async def test_a_compressed_statement_is_read(url: str) -> None:
    assert await ask(url, compressed(b"SELECT 42 FORMAT CSV"), decompress="1") == (200, b"42\n")


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda body: body[:20], 271),
        (lambda body: body[:-1], 271),
        (lambda body: body[:-1] + b"?", 40),
        (lambda body: b"?" + body[1:], 40),
    ],
)
def test_a_damaged_frame_is_an_error(damage: object, code: int) -> None:
    assert callable(damage)
    with pytest.raises(ServerError) as caught:
        inflated(damage(compressed(b"SELECT 1" * 100)), 1 << 20)
    assert caught.value.code == code


def test_frames_are_bounded_by_their_inflated_size() -> None:
    with pytest.raises(ServerError) as caught:
        inflated(compressed(b" " * (1 << 20)), 1 << 16)
    assert caught.value.code == 307


async def test_session_functions_have_the_values_of_the_client(url: str) -> None:
    query = b"SELECT currentUser(), query_id() AS id, upper(user()), 'currentUser()' FORMAT CSVWithNames"
    status, body = await ask(url, query, query_id="my-query'1")
    assert (status, body.decode().splitlines()) == (
        200,
        [
            '"currentUser()","id","upper(user())","\'currentUser()\'"',
            '"analyst","my-query1","ANALYST","currentUser()"',
        ],
    )
    status, body = await ask(url, b"SELECT displayName(), version(), revision(), timezone() FORMAT CSV")
    assert status == 200 and body.startswith(b'"lpstream-embedded"')
    assert await ask(url, b"SELECT hostName() FORMAT TSV") == (200, b"lpstream-embedded\n")


def test_pyarrow_checks_the_declared_size_of_a_frame() -> None:
    packed = pa.Codec("lz4_raw").compress(b"SELECT 1" * 100, asbytes=True)
    with pytest.raises((OSError, pa.ArrowException)):
        pa.Codec("lz4_raw").decompress(packed, 10, asbytes=True)


async def test_native_data_of_a_client_has_no_revision(url: str) -> None:
    # as clickhouse-go sends it, whose answers have one
    session = {"session_id": "native", "client_protocol_version": "54460"}
    assert (await ask(url, b"CREATE TEMPORARY TABLE t (n UInt64, s String)", **session))[0] == 200
    _, block = await ask(url, b"SELECT number AS n, toString(number) AS s FROM numbers(3)")
    assert (await ask(url, block, query="INSERT INTO t FORMAT Native", **session))[0] == 200
    status, body = await ask(url, b"SELECT sum(n), max(s) FROM t FORMAT CSV", **session)
    assert (status, body) == (200, b'3,"2"\n')
