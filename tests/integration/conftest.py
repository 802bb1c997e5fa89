"""Valkey alone, for tests that need no more than that."""

from collections.abc import AsyncIterator, Iterator

import pytest

from infra.embedded import stores
from infra.embedded.ports import Ports
from infra.embedded.process import Server
from infra.redis import RedisLine, open_redis


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    data = tmp_path_factory.mktemp("valkey")
    ports = Ports(data)
    port = ports.get("redis")
    server = stores.valkey(data, port)
    server.start()
    yield server, f"redis://127.0.0.1:{port}"
    server.process.stop()


@pytest.fixture
async def line(valkey: tuple[Server, str]) -> AsyncIterator[RedisLine]:
    redis = open_redis(valkey[1])
    await redis.flushall()
    yield RedisLine(redis)
    await redis.aclose()
