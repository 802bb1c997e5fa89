"""ClickHouse over its HTTP interface: idempotent inserts, bound queries, two kinds of errors."""

import asyncio
import re
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
    74, 159, 160, 164, 173, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 285, 286, 319, 439, 473, 999,
}  # fmt: skip
_CODE = re.compile(r"Code: (\d+)|error code (\d+)")


class ClickHouse:
    """One server, one user. Calls run in a few threads; nothing is opened before the first call."""

    def __init__(
        self, url: str, user: str, password: str, database: str, quorum: bool, answer_timeout_s: float
    ) -> None:
        self._url, self._user, self._password, self._database = url, user, password, database
        self._quorum = quorum
        self._answer_timeout_s = answer_timeout_s
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
        quorum: bool = False,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Self:
        """`quorum` waits for a majority of replicas, on replicated tables."""
        return cls(url, user, password, database, quorum, answer_timeout_s)

    async def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert all rows or none, once for each token however often it is called.

        Rows must differ in the table's sorting key: the server does not sum them first, which costs it half of the
        work of an insert.
        """
        settings = {
            "insert_deduplication_token": token,
            "insert_deduplicate": 1,
            "async_insert": 0,
            "optimize_on_insert": 0,
        }
        if self._quorum:
            settings["insert_quorum"] = "auto"
        await self._call(lambda client: client.insert_arrow(table, rows, settings=settings))

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
