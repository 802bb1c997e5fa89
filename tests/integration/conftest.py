"""Fixtures for tests that need only Valkey, SeaweedFS or ClickHouse."""

from collections.abc import AsyncIterator, Iterator

import pytest
from seaweedfs_bucket import Bucket

from infra.clickhouse.client import ClickHouse
from infra.embedded import stores as servers
from infra.embedded.ports import Ports
from infra.embedded.process import Server
from infra.redis.line import RedisLine, open_redis
from infra.s3.objects import Objects


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    data = tmp_path_factory.mktemp("valkey")
    port = Ports(data).get("redis")
    server = servers.valkey(data, port)
    server.start()
    yield server, f"redis://127.0.0.1:{port}"
    server.process.stop()


@pytest.fixture
async def line(valkey: tuple[Server, str]) -> AsyncIterator[RedisLine]:
    redis = open_redis(valkey[1])
    await redis.flushall()
    yield RedisLine(redis, patience_s=10)  # generous, because the machine may be busy; other tests cover the timeout
    await redis.aclose()


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    data = tmp_path_factory.mktemp("seaweedfs")
    server, port = servers.seaweedfs(data, Ports(data), "tests", "tests-secret")
    server.start()
    yield Bucket(server, f"http://127.0.0.1:{port}")
    server.process.stop()


@pytest.fixture
async def objects(bucket: Bucket) -> Objects:
    opened = bucket.open()
    await opened.ensure_bucket()
    await opened.delete(await opened.keys(""))
    return opened


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a ClickHouse server of its own, with the passwords `writes` and `reads`."""
    data = tmp_path_factory.mktemp("clickhouse")
    port = Ports(data).get("clickhouse")
    server = servers.clickhouse(data, port, "writes", "reads")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.process.stop()


@pytest.fixture
async def server(url: str) -> AsyncIterator[ClickHouse]:
    """Yield a writer's client for a server without databases of ours."""
    client = ClickHouse.open(url, "lpstream", "writes", "default")
    for database in ("lpstream", "lpstream_warm"):
        await client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
    yield client
    await client.close()
