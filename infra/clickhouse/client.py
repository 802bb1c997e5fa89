"""ClickHouse over its HTTP interface: idempotent inserts, bound queries, two kinds of errors."""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from schemas.errors import Refused, Retryable

Answer = TypeVar("Answer")

THREADS = 4
CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 30
# the store is overloaded, out of space or memory, read-only, starting, or its answer is unknown: try again
RETRYABLE = {
    74, 159, 160, 164, 173, 201, 202, 203, 209, 210, 225, 235, 236, 241, 242, 243, 244, 252, 285, 286, 319, 394, 439,
    473, 499, 999, 1000,
}  # fmt: skip
# What makes an insert durable and known again. The client asks for it, whatever the server's profile of the user says.
GUARANTEED: dict[str, Any] = {
    "deduplicate_insert": "enable",
    "async_insert": 0,
    "optimize_on_insert": 0,
    "insert_quorum_parallel": 1,
    # the server gives up before ANSWER_TIMEOUT_S, and its answer says why
    "insert_quorum_timeout": 10_000,
}
REPLICAS = (
    "SELECT total_replicas AS n FROM system.replicas WHERE database = {database:String} AND table = {table:String}"
)
LOOK_AGAIN_S = 60.0
_CODE = re.compile(r"Code: (\d+)|error code (\d+)")


class ClickHouse:
    """One server, one user. Calls run in a few threads; nothing is opened before the first call."""

    def __init__(
        self, url: str, user: str, password: str, database: str, answer_timeout_s: float, ca_file: str | None
    ) -> None:
        self._url, self._user, self._password, self._database = url, user, password, database
        self._ca_file = ca_file
        self._answer_timeout_s = answer_timeout_s
        self._quorums: dict[str, tuple[str, float]] = {}
        self._client: Any = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="clickhouse")
        self._opening = asyncio.Lock()

    @classmethod
    def open(
        cls,
        url: str,
        user: str,
        password: str,
        database: str = "lpstream",
        *,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        ca_file: str | None = None,
    ) -> Self:
        """Make a client; it connects with its first call. `ca_file`: certificates for `https://`, PEM."""
        return cls(url, user, password, database, answer_timeout_s, ca_file)

    async def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert all rows or none, once for each token however often it is called.

        On replicated tables it returns when a majority of the replicas has the rows. Rows must differ in the table's
        sorting key: the server does not sum them first, which costs it half of the work of an insert.
        """
        quorum = await self._quorum(table)
        settings = {**GUARANTEED, "insert_deduplication_token": token, "insert_quorum": quorum}
        try:
            await self._call(lambda client: client.insert_arrow(table, rows, settings=settings))
        except Retryable:
            self._quorums.pop(table, None)  # it may have another number of replicas now
            raise

    async def _quorum(self, table: str) -> str:
        """Return `auto`, a majority, which plain tables ignore; `0` for a table with one replica.

        With `auto` the only replica waits for a second one to confirm, until the timeout (seen with 26.9).
        """
        quorum, looked_at = self._quorums.get(table, ("", float("-inf")))
        if time.monotonic() - looked_at >= LOOK_AGAIN_S:
            database, _, name = table.rpartition(".")
            found = await self.rows(REPLICAS, {"database": database or self._database, "table": name})
            if any(row["n"] == 0 for row in found):
                raise Retryable(f"ClickHouse: Keeper does not tell how many replicas {table} has")
            quorum = "0" if any(row["n"] == 1 for row in found) else "auto"
            self._quorums[table] = quorum, time.monotonic()
        return quorum

    async def query(self, sql: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """The answer as an Arrow table. Parameters are bound by the server: `{name:Type}`."""
        found: pa.Table = await self._call(lambda client: client.query_arrow(sql, parameters=parameters))
        return found

    async def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The answer as row dicts."""
        found = await self._call(lambda client: client.query(sql, parameters=parameters))
        return list(found.named_results())

    async def command(self, sql: str, parameters: dict[str, Any] | None = None) -> Any:
        """Run a statement without a result. Parameters are bound by the server: `{name:Type}`."""
        return await self._call(lambda client: client.command(sql, parameters=parameters))

    async def ping(self) -> None:
        """Retryable when the server does not answer."""
        await self._call(lambda client: client.command("SELECT 1"))

    async def close(self) -> None:
        """Let go of connections and threads."""
        if self._client is not None:
            self._client.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _call(self, work: Callable[[Any], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            async with self._opening:
                if self._client is None:
                    self._client = await loop.run_in_executor(self._pool, self._connect)
            return await loop.run_in_executor(self._pool, work, self._client)
        except ClickHouseError as error:
            raise _translated(error) from error
        except (HTTPError, OSError, TimeoutError) as error:
            raise Retryable(f"ClickHouse at {self._url}: {type(error).__name__}") from error

    def _connect(self) -> Any:
        parts = urlsplit(self._url)
        return clickhouse_connect.get_client(
            host=parts.hostname,
            port=parts.port,
            interface=parts.scheme,
            username=self._user,
            password=self._password,
            database=self._database,
            ca_cert=self._ca_file,
            compress=False,
            autogenerate_session_id=False,
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=self._answer_timeout_s,
            query_retries=0,
        )


def _translated(error: Exception) -> Retryable | Refused:
    text = str(error)
    found = _CODE.search(text)
    code = int(found.group(1) or found.group(2)) if found else None
    detail = f"ClickHouse: {text[:300]}"
    # without a code it is the connection that failed
    return Retryable(detail) if code is None or code in RETRYABLE else Refused(detail, code)
