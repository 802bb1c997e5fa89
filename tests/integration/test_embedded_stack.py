"""The embedded stack with real servers: each answers a real client, and none outlives the stack."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import boto3
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from harness import full_only
from patience import PATIENCE_S

from infra.embedded.kafka import apache_obstacle
from infra.embedded.stack import Stack
from infra.kafka.topics import TopicOutcomes, TopicSpec, ensure_topics, load_topics
from schemas.errors import LpstreamError, Refused

pytestmark = pytest.mark.stack
OWN_STACK = True  # starts stacks itself
NO_APACHE = apache_obstacle()
STORES = {"kafka", "clickhouse", "redis", "s3"}


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module", params=["apache", pytest.param("tansu", marks=full_only)])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if request.param == "apache" and NO_APACHE:
        pytest.skip(NO_APACHE)
    with Stack(tmp_path_factory.mktemp("stack"), request.param) as started:
        yield started


def s3_of(stack: Stack, secret: str | None = None) -> BaseClient:
    at = stack.addresses
    return boto3.client(
        "s3",
        endpoint_url=at.s3_endpoint_url,
        aws_access_key_id=at.s3_access_key,
        aws_secret_access_key=secret or at.s3_secret_key,
        region_name="us-east-1",
    )


async def produce(stack: Stack, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0, timestamp_ms=1_000)


async def consume(stack: Stack, topic: str, count: int) -> list[tuple[bytes, int]]:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=stack.addresses.kafka, auto_offset_reset="earliest"
    ) as consumer:
        records = [await asyncio.wait_for(consumer.getone(), PATIENCE_S) for _ in range(count)]
        return [(record.value, record.timestamp) for record in records]


async def test_kafka_keeps_topics_and_records(stack: Stack) -> None:
    at = stack.addresses
    names = {spec.name for spec in load_topics()}
    first = await ensure_topics(at.kafka, replication_factor=1, min_insync=1)
    assert first == dict.fromkeys(names, "created")
    assert await ensure_topics(at.kafka, replication_factor=1, min_insync=1) == dict.fromkeys(names, "exists")
    with pytest.raises(Refused, match=r"has 12 partitions, not 3"):
        await ensure_topics(at.kafka, replication_factor=1, min_insync=1, partitions=3)
    before = time.time() * 1000
    await produce(stack, "heatmap.events", [b"one", b"two"])
    records = await consume(stack, "heatmap.events", 2)
    assert [value for value, _ in records] == [b"one", b"two"]
    if at.broker_kind == "apache":
        assert not first.refused
        assert all(timestamp >= before - 1_000 for _, timestamp in records)
    else:
        assert "message.timestamp.type" in first.refused["heatmap.events"]


async def test_changed_topic_settings_are_updated(stack: Stack) -> None:
    def spec(retention: int) -> tuple[TopicSpec, ...]:
        return (TopicSpec("changing", 2, {"retention.ms": str(retention)}),)

    async def ensure(retention: int) -> dict[str, str]:
        kafka = stack.addresses.kafka
        return dict(await ensure_topics(kafka, replication_factor=1, min_insync=1, topics=spec(retention)))

    assert await ensure(1_000_000) == {"changing": "created"}
    changed = "updated" if stack.addresses.broker_kind == "apache" else "exists"
    assert await ensure(2_000_000) == {"changing": changed}
    async with asyncio.timeout(PATIENCE_S):
        while await ensure(2_000_000) != {"changing": "exists"}:  # a broker shows a change with a short delay
            await asyncio.sleep(0.1)


async def test_a_topic_keeps_its_partitions_and_its_bytes_to_retain(stack: Stack) -> None:
    async def ensure(partitions: int, retain: int) -> TopicOutcomes:
        topics = (TopicSpec("kept", partitions, {"retention.bytes": str(retain)}),)
        return await ensure_topics(stack.addresses.kafka, replication_factor=1, min_insync=1, topics=topics)

    assert await ensure(2, 6_000) == {"kept": "created"}
    first = await ensure(3, 4_000)
    assert (first.partitions, first) == ({"kept": 2}, {"kept": "exists"}), "4,000 in each of 3 are 6,000 in each of 2"
    assert not (await ensure(2, 6_000)).partitions


def test_redis_answers(stack: Stack) -> None:
    with redis.Redis.from_url(stack.addresses.redis_url) as client:
        assert client.ping()
        assert client.config_get("appendonly")["appendonly"] == "yes"


def test_s3_stores_objects_and_refuses_a_wrong_key(stack: Stack) -> None:
    client = s3_of(stack)
    client.create_bucket(Bucket="lpstream")
    client.put_object(Bucket="lpstream", Key="pages/a/index.html", Body="頁".encode(), ContentType="text/html")
    found = client.get_object(Bucket="lpstream", Key="pages/a/index.html")
    assert found["Body"].read().decode() == "頁"
    assert found["ContentType"] == "text/html"
    with pytest.raises(ClientError) as caught:
        s3_of(stack, secret="wrong").list_objects_v2(Bucket="lpstream")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


async def test_clickhouse_answers(stack: Stack) -> None:
    at = stack.addresses
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{at.clickhouse_url}/ping") as answer:
            assert await answer.read() == b"Ok.\n"
        for user, password in ((at.clickhouse_user, at.clickhouse_password), ("analyst", at.analyst_password)):
            headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
            async with session.get(at.clickhouse_url, params={"query": "SELECT 1"}, headers=headers) as answer:
                assert await answer.read() == b"1\n"


def test_the_stack_reports_its_processes_and_settings(stack: Stack) -> None:
    at = stack.addresses
    assert set(at.pids) == STORES
    assert all(runs(pid) for pid in at.pids.values())
    assert set(stack.startup_ms) == STORES | {"total"}
    assert all(megabytes > 1 for megabytes in stack.memory_mb().values())
    assert stack.versions()["kafka"].startswith({"apache": "apache kafka 4", "tansu": "tansu v"}[at.broker_kind])
    assert stack.dead() == []
    env = stack.env()
    assert env["LPSTREAM_KAFKA_BOOTSTRAP_SERVERS"] == at.kafka
    assert env["LPSTREAM_BROKER"] == at.broker_kind
    assert env["LPSTREAM_S3_BUCKET"] == "lpstream"
    assert at.s3_secret_key not in repr(at)
    for path in (stack.data / "secrets.json", stack.data / "seaweedfs" / "s3.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_listener_is_on_loopback_below_the_ephemeral_range(stack: Stack) -> None:
    pids = set(stack.addresses.pids.values())
    inodes = {str(fd.readlink()) for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    for family, loopback in (("tcp", {"0100007F"}), ("tcp6", {"0000000000000000FFFF00000100007F"})):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in inodes:
                address, port = columns[1].split(":")
                assert address in loopback, line
                assert int(port, 16) < 32_768


def test_a_data_folder_can_run_only_one_stack(stack: Stack) -> None:
    with pytest.raises(LpstreamError, match=rf"in use by another lpstream \(pid {os.getpid()}\)"), Stack(stack.data):
        pytest.fail("a second stack started on the same folder")
    assert stack.dead() == []


def test_a_killed_store_is_reported_and_can_restart(stack: Stack) -> None:
    os.kill(stack.addresses.pids["redis"], signal.SIGKILL)
    until(lambda: stack.dead() == ["redis"])
    with pytest.raises(LpstreamError, match="redis was killed by SIGKILL") as caught:
        stack.check()
    assert "valkey.log" in str(caught.value)
    stack.restart("redis")
    stack.check()
    with redis.Redis.from_url(stack.addresses.redis_url) as client:
        assert client.ping()


@full_only
@pytest.mark.skipif(NO_APACHE is not None, reason=str(NO_APACHE))
async def test_data_and_addresses_survive_restarts(tmp_path: Path) -> None:
    topics = (TopicSpec("kept", 1, {}),)
    with Stack(tmp_path, "apache") as first:
        await ensure_topics(first.addresses.kafka, replication_factor=1, min_insync=1, topics=topics)
        await produce(first, "kept", [b"before the kill"])
        first.kill("kafka")
        assert first.dead() == ["kafka"]
        first.restart("kafka")
        assert [value for value, _ in await consume(first, "kept", 1)] == [b"before the kill"]
        s3_of(first).create_bucket(Bucket="kept")
        s3_of(first).put_object(Bucket="kept", Key="k", Body=b"object")
        with redis.Redis.from_url(first.addresses.redis_url) as client:
            client.set("kept", "value")
        pids = first.addresses.pids | {"kafka": first.processes["kafka"].pid}
    assert not [name for name, pid in pids.items() if runs(pid)]
    with Stack(tmp_path, "apache") as second:
        old, new = first.addresses, second.addresses
        assert (new.kafka, new.redis_url, new.clickhouse_url) == (old.kafka, old.redis_url, old.clickhouse_url)
        assert (new.s3_secret_key, new.clickhouse_password) == (old.s3_secret_key, old.clickhouse_password)
        assert [value for value, _ in await consume(second, "kept", 1)] == [b"before the kill"]
        assert s3_of(second).get_object(Bucket="kept", Key="k")["Body"].read() == b"object"
        with redis.Redis.from_url(new.redis_url) as client:
            assert client.get("kept") == b"value"


def test_a_store_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "appendonlydir").write_text("in the way")
    stack = Stack(tmp_path, "tansu")
    with pytest.raises(LpstreamError, match=r"redis ended with code [\s\S]*valkey\.log"), stack:
        pytest.fail("the stack started")
    assert not [child.name for child in stack.processes.values() if child.alive]
    (tmp_path / "valkey" / "appendonlydir").unlink()
    with stack.__class__(tmp_path, "tansu") as again:  # the folder is no longer locked
        assert again.dead() == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="SIGINT", marks=full_only),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
        pytest.param(signal.SIGKILL, -9, id="SIGKILL", marks=full_only),
    ],
)
@pytest.mark.parametrize(
    "early", [pytest.param(False, id="running"), pytest.param(True, id="starting", marks=full_only)]
)
def test_a_signal_to_the_parent_stops_all_processes(tmp_path: Path, number: int, code: int, early: bool) -> None:
    program = f"""
        import json, signal, sys, threading, time
        from pathlib import Path
        from infra.embedded.stack import Stack
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        stack = Stack(Path({str(tmp_path)!r}), "tansu")
        def tell():
            while len(pids := [child.pid for child in stack.processes.values() if child.pid]) < 4:
                time.sleep(0.01)
            print(json.dumps(pids), flush=True)
        if {early}:
            threading.Thread(target=tell, daemon=True).start()
        try:
            with stack:
                if not {early}:
                    tell()
                time.sleep(600)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        try:
            assert all(runs(pid) for pid in pids)
            parent.send_signal(number)
            assert parent.wait(30) == code
        finally:
            parent.kill()
    until(lambda: not any(runs(pid) for pid in pids))
