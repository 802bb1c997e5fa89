"""The ClickHouse client over HTTP: idempotent inserts, bound parameters, two kinds of errors."""

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
# the server is overloaded, out of space or memory, read-only, starting, or its answer is unknown; a replica is away
RETRYABLE = {
    74, 159, 160, 164, 173, 201, 202, 203, 209, 210, 225, 235, 236, 241, 242, 243, 244, 252, 285, 286, 319, 341, 394,
    439, 473, 499, 999, 1000,
}  # fmt: skip
# Contract 12.
# Settings that make an insert durable and idempotent. They override the user's profile on the server.
GUARANTEED: dict[str, Any] = {
    "deduplicate_insert": "enable",
    "async_insert": 0,
    "optimize_on_insert": 0,
    "insert_quorum_parallel": 1,
    # ms; less than ANSWER_TIMEOUT_S, so that the server answers with the cause
    "insert_quorum_timeout": 10_000,
}
REPLICAS = (
    "SELECT total_replicas AS n FROM system.replicas WHERE database = {database:String} AND table = {table:String}"
)
LOOK_AGAIN_S = 60.0
_CODE = re.compile(r"Code: (\d+)|error code (\d+)")


class ClickHouse:
    """A client for one server and user. Calls run in THREADS threads; the first call connects."""

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
        """Return a client, which connects with its first call. `ca_file` (PEM) is for `https://`."""
        return cls(url, user, password, database, answer_timeout_s, ca_file)

    async def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert all rows or none, once for each token, however often it is called.

        On replicated tables this returns when a majority of the replicas has the rows. Each row must have its own
        sorting key: to save half of the work of an insert, the server does not sum rows with the same key.
        """
        quorum = await self._quorum(table)
        settings = {**GUARANTEED, "insert_deduplication_token": token, "insert_quorum": quorum}
        try:
            await self._call(lambda client: client.insert_arrow(table, rows, settings=settings))
        except Retryable:
            self._quorums.pop(table, None)  # the number of replicas may have changed
            raise

    async def _quorum(self, table: str) -> str:
        """Return `auto` (a majority; plain tables ignore it), or `0` for a table with one replica.

        With `auto` a single replica waits for a second replica until the timeout (seen with 26.9).
        """
        quorum, looked_at = self._quorums.get(table, ("", float("-inf")))
        if time.monotonic() - looked_at >= LOOK_AGAIN_S:
            database, _, name = table.rpartition(".")
            replicas = await self.rows(REPLICAS, {"database": database or self._database, "table": name})
            if any(row["n"] == 0 for row in replicas):
                raise Retryable(f"ClickHouse: Keeper does not report the number of replicas of {table}")
            quorum = "0" if any(row["n"] == 1 for row in replicas) else "auto"
            self._quorums[table] = quorum, time.monotonic()
        return quorum

    async def query(self, sql: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """Return the answer as an Arrow table. The server binds parameters: `{name:Type}`."""
        table: pa.Table = await self._call(lambda client: client.query_arrow(sql, parameters=parameters))
        return table

    async def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the answer as a list of dicts."""
        answer = await self._call(lambda client: client.query(sql, parameters=parameters))
        return list(answer.named_results())

    async def command(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        """Run a statement without a result. The server binds parameters: `{name:Type}`."""
        # clickhouse-connect's `command` sends parameters in the URL, whatever the setting
        await self._call(lambda client: (client.raw_query if parameters else client.command)(sql, parameters))

    async def close(self) -> None:
        """Close connections and threads."""
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
            raise _translated(error, self._url) from error
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
            form_encode_query_params=True,  # parameters in the body: a URL is limited
        )


def _translated(error: Exception, url: str) -> Retryable | Refused:
    text = str(error)
    match = _CODE.search(text)
    code = int(match.group(1) or match.group(2)) if match else None
    detail = f"ClickHouse: {text[:300]}"
    if code is None and isinstance(error.__cause__, HTTPError):
        reason = getattr(error.__cause__, "reason", None) or error.__cause__
        return Retryable(f"ClickHouse at {url} does not answer: {type(reason).__name__}")
    # without a code the connection failed
    return Retryable(detail) if code is None or code in RETRYABLE else Refused(detail, code)
