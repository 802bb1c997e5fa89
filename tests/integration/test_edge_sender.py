"""The edge's sender against a real broker: order, batches, bad records, and an outage."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.producer import sender as producer_sender
from harness import full_only
from patience import PATIENCE_S, SLACK_S

from infra.embedded.stack import Stack
from infra.kafka.admin import open_admin
from streams.edge.beacons.sender import KAFKA_ERROR, NO_PARTITION, RETRIABLE_KAFKA_ERROR, Record, Sender
from streams.edge.http.errors import HttpError
from streams.local.prepare import settings_of
from streams.runtime.settings import Settings

pytestmark = pytest.mark.stack
MANY, TRIES = 3_000, 50


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return settings_of(stack).model_copy(update={"edge_max_in_flight": MANY, "produce_timeout_s": 3.0})


@pytest_asyncio.fixture
async def topic(stack: Stack) -> str:
    """Create a topic with three partitions and a size limit below the edge's."""
    name = f"sender-{uuid4().hex[:8]}"
    async with open_admin(stack.addresses.kafka) as admin:
        await admin.create_topics([NewTopic(name, 3, 1, topic_configs={"max.message.bytes": "200000"})])
    return name


@pytest_asyncio.fixture
async def sender(settings: Settings) -> AsyncIterator[Sender]:
    running = Sender(settings)
    await running.start()
    yield running
    await running.stop()


async def values(stack: Stack, topic: str, partition: int, count: int) -> list[bytes | None]:
    """Return the partition's first `count` values."""
    found: list[bytes | None] = []
    async with (
        AIOKafkaConsumer(bootstrap_servers=stack.addresses.kafka, auto_offset_reset="earliest") as consumer,
        asyncio.timeout(PATIENCE_S),
    ):
        consumer.assign([TopicPartition(topic, partition)])
        while len(found) < count:
            batch = await consumer.getmany(timeout_ms=500)
            found += [record.value for records in batch.values() for record in records]
    return found


def record(value: bytes, partition: int | None = None, key: bytes | None = None) -> Record:
    return Record(value, key, key, partition)


async def test_records_of_a_request_keep_their_order(stack: Stack, sender: Sender, topic: str) -> None:
    expected = [b"%05d" % number for number in range(MANY // 3)]
    requests = [sender.send(topic, [record(value, 1) for value in expected]) for _ in range(2)]
    first, second = await asyncio.gather(*requests)
    assert [one.offset for one in first] == list(range(len(expected)))
    assert [one.offset for one in second] == list(range(len(expected), 2 * len(expected)))
    assert await values(stack, topic, 1, 2 * len(expected)) == expected * 2


async def test_keyless_records_of_a_request_share_a_partition(sender: Sender, topic: str) -> None:
    placed = [[one.partition for one in await sender.send(topic, [record(b"x")] * 5)] for _ in range(6)]
    assert all(len(set(row)) == 1 for row in placed)
    assert {row[0] for row in placed} == {0, 1, 2}


async def test_batches_of_several_partitions_leave_in_one_request(
    sender: Sender, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[int] = []
    send = producer_sender.Sender._send_produce_req

    def counted(self: Any, node: int, batches: dict[TopicPartition, Any]) -> Any:
        requests.append(len(batches))
        return send(self, node, batches)

    monkeypatch.setattr(producer_sender.Sender, "_send_produce_req", counted)
    for _ in range(TRIES):  # a busy machine may stop the process between two records
        requests.clear()
        tasks = []
        for partition in range(3):
            tasks.append(asyncio.create_task(sender.send(topic, [record(b"x", partition)])))
            await asyncio.sleep(0.0001)
        await asyncio.gather(*tasks)
        if requests == [3]:
            return
    pytest.fail(f"batches in the last requests: {requests}")


async def test_a_record_refused_by_the_broker_harms_no_other(stack: Stack, sender: Sender, topic: str) -> None:
    if stack.addresses.broker_kind == "tansu":
        pytest.skip("Tansu refuses no record for its size")
    for _ in range(2):  # the first refusal would break an idempotent producer for this partition
        sent = await sender.send(topic, [record(b"a", 0), record(b"b" * 300_000, 0), record(b"c", 0)])
        assert [one.error_code for one in sent] == [None, KAFKA_ERROR, None]
    assert await values(stack, topic, 0, 4) == [b"a", b"c"] * 2


async def test_a_record_over_the_edges_limit_is_not_sent(sender: Sender, settings: Settings, topic: str) -> None:
    large = b"x" * (settings.edge_max_record_bytes + 1)
    sent = await sender.send(topic, [record(b"a", 0), record(large, 0), record(b"b", 7)])
    assert [one.error_code for one in sent] == [None, KAFKA_ERROR, NO_PARTITION]


async def test_a_batch_over_the_limit_is_refused_as_a_whole(stack: Stack, sender: Sender, topic: str) -> None:
    await sender.partitions(topic)
    first = asyncio.create_task(sender.send(topic, [record(b"x", 2)] * MANY))
    await asyncio.sleep(0)
    with pytest.raises(HttpError) as refused:
        await sender.send(topic, [record(b"z", 2)])
    assert refused.value.status == 503
    await first
    assert (await sender.send(topic, [record(b"y", 2)]))[0].offset == MANY


@full_only
async def test_without_a_broker_records_fail_in_time_and_stay_unsent(
    stack: Stack, sender: Sender, settings: Settings, topic: str
) -> None:
    if stack.addresses.broker_kind == "tansu":
        pytest.skip("Tansu loses its log when it is killed")
    await sender.send(topic, [record(b"before", 0)])
    await asyncio.to_thread(stack.kill, "kafka")
    try:
        started = time.monotonic()
        on_its_way = asyncio.create_task(sender.send(topic, [record(b"on its way", 0)]))
        await asyncio.sleep(0.2)
        waiting = [asyncio.create_task(sender.send(topic, [record(b"waits", 0)])) for _ in range(100)]
        codes = [code for task in (on_its_way, *waiting) for code in {one.error_code for one in await task}]
        assert set(codes) == {RETRIABLE_KAFKA_ERROR}
        assert time.monotonic() - started < settings.produce_timeout_s + SLACK_S
    finally:
        await asyncio.to_thread(stack.restart, "kafka")
    async with asyncio.timeout(PATIENCE_S):
        while (await sender.send(topic, [record(b"after", 0)]))[0].error_code is not None:
            await asyncio.sleep(0.2)
    found = await values(stack, topic, 0, 2)
    assert b"waits" not in found and found[0] == b"before"
