"""Kafka's codecs and unreadable batches.

Every codec is read. A bad batch is skipped only by the operator. Hopeless batches are passed and reported.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition
from beacons import PARTITIONS, assert_counted, some_beacons
from damaged_batches import CODECS, codec_of, damage, logs_of, put
from page_requests import least
from patience import PATIENCE_S

from infra.embedded.kafka import apache_obstacle, choose_kafka
from infra.embedded.ports import Ports
from infra.embedded.stack import Stack
from infra.kafka.inflating import MOST_BATCH_BYTES
from infra.kafka.log import read_back
from infra.kafka.producer import partition_of
from infra.kafka.skips import Skip, SkipLetters
from infra.kafka.topics import ensure_topics
from schemas.errors import Refused
from schemas.generation import encode_model
from schemas.heatmap import TOPIC
from streams.local.installation import Installation
from streams.operate.dead_letters import DeadLetters, Letter
from streams.proof.orders import Answer, orders
from streams.proof.visitors import tally
from streams.runtime.settings import Settings

pytestmark = pytest.mark.stack
PLACE = 1


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Start Apache Kafka only, for damaged logs; return its address and the folder of its logs."""
    if obstacle := apache_obstacle():
        pytest.skip(f"this test damages the log of Apache Kafka: {obstacle}")
    data = tmp_path_factory.mktemp("unreadable")
    server = choose_kafka("apache", data, Ports(data))[0]
    server.start()
    asyncio.run(ensure_topics(server.address, replication_factor=1, min_insync=1, partitions=2))
    yield server.address, data / "kafka-data" / "logs"
    server.process.stop()


def letters(kafka: str, topic: str = TOPIC) -> DeadLetters:
    return DeadLetters(Settings(kafka_bootstrap_servers=kafka, broker="apache"), topic)


async def offsets_read(kafka: str, end: int) -> list[int]:
    return [record.offset async for part in read_back(kafka, TOPIC, PLACE, 0, end) for record in part]


async def test_records_of_each_codec_are_processed(stack: Stack, installation: Installation) -> None:
    kafka, beacons = stack.addresses.kafka, some_beacons("codecs", len(CODECS))[: len(CODECS)]
    async with orders(kafka, stack.addresses.broker_kind) as sent_requests:
        for codec, beacon in zip(CODECS, beacons, strict=True):
            partition = partition_of(beacon["pageview_id"].encode(), PARTITIONS)
            offset = await put(kafka, TOPIC, partition, [msgspec.json.encode(beacon)], codec)
            request = least(request_id=f"00000000-0000-4000-8000-0000000{CODECS[codec]:05}", tenant_id="demo")
            sent_requests.answers[str(request.request_id)] = Answer(1)
            request_offset = await put(kafka, "lp.requests", 0, [encode_model(request) + b" " * 2_000], codec)
            if stack.addresses.broker_kind == "apache" and (logs := logs_of(stack)).exists():
                assert codec_of(logs, TOPIC, partition, offset) == CODECS[codec]
                assert codec_of(logs, "lp.requests", 0, request_offset) == CODECS[codec]
        assert {answer.result["status"] for answer in await sent_requests.wait(60)} == {"completed"}
    await assert_counted(stack, "codecs", tally(beacons).total())


async def test_a_worker_passes_and_reports_hopeless_batches(stack: Stack, installation: Installation) -> None:
    kafka, beacons = stack.addresses.kafka, some_beacons("oversized", 8)[:8]
    zeros = bytes(MOST_BATCH_BYTES + 1)
    request = least(tenant_id="demo")
    async with orders(kafka, stack.addresses.broker_kind) as sent_requests:
        bad = []
        for codec, beacon in zip(("gzip", "lz4", "zstd"), beacons, strict=False):
            partition = partition_of(beacon["pageview_id"].encode(), PARTITIONS)
            bad.append((partition, await put(kafka, TOPIC, partition, [zeros], codec)))
        for beacon in beacons:
            partition = partition_of(beacon["pageview_id"].encode(), PARTITIONS)
            await put(kafka, TOPIC, partition, [msgspec.json.encode(beacon)], "zstd")
        await put(kafka, "lp.requests", 0, [zeros], "zstd")
        sent_requests.answers[str(request.request_id)] = Answer(1)
        await put(kafka, "lp.requests", 0, [encode_model(request)])
        assert {answer.result["status"] for answer in await sent_requests.wait(60)} == {"completed"}
    await assert_counted(stack, "oversized", tally(beacons).total())
    for partition, offset in bad:
        error = (await _letter_of(kafka, partition, offset)).error
        assert error.startswith(f"passed by the worker: offsets {offset} to {offset} could not be read:")
        assert error.endswith(f"inflates to more than {MOST_BATCH_BYTES} bytes")


async def _letter_of(kafka: str, partition: int, offset: int) -> Letter:
    """Return the letter of a batch that a worker has passed.

    It comes soon after the records behind the batch.
    """
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async for one in letters(kafka).read():
                if one.skip_to is not None and one.origin == f"{TOPIC}[{partition}]@{offset}":
                    return one
            await asyncio.sleep(0.2)


async def test_a_bad_batch_is_skipped_only_by_its_skip_letter(broker: tuple[str, Path]) -> None:
    kafka, logs = broker
    first = [await put(kafka, TOPIC, PLACE, [b"a", b"b", b"c"]) for _ in range(3)]
    damage(logs, TOPIC, PLACE, first[1], "flipped bit")
    with pytest.raises(Refused, match=rf"lpstream dlq skip {TOPIC} {PLACE} {first[1]}$"):
        await offsets_read(kafka, first[2] + 3)
    assert await offsets_read(kafka, first[1]) == [*range(first[0], first[1])], "records before the bad batch are read"

    skip = await letters(kafka).skip(PLACE, first[1] + 1)
    assert skip == Skip(first[1], first[1] + 3), "any offset of a batch skips the whole batch"
    assert await offsets_read(kafka, first[2] + 3) == [*range(first[0], first[1]), *range(first[2], first[2] + 3)]


async def test_an_unknown_codec_is_named(broker: tuple[str, Path]) -> None:
    kafka, logs = broker
    offset = await put(kafka, TOPIC, PLACE, [b"a", b"b"])
    damage(logs, TOPIC, PLACE, offset, "codec 7")
    known = SkipLetters(kafka)
    place = TopicPartition(TOPIC, PLACE)
    assert await known.past(place, offset) is None
    await letters(kafka).skip(PLACE, offset)
    assert [await known.past(place, at) for at in (offset, offset + 1, offset + 2)] == [offset + 2, offset + 2, None]
    letter = [one async for one in letters(kafka).read()][-1]
    assert letter.error.startswith(f"skipped by the operator: offsets {offset} to {offset + 1} could not be read:")
    assert "codec" in letter.error and letter.partition == PLACE and letter.origin == f"{TOPIC}[{PLACE}]@{offset}"


async def test_a_readable_batch_cannot_be_skipped(broker: tuple[str, Path]) -> None:
    kafka, _ = broker
    offset = await put(kafka, TOPIC, 0, [b"whole"])
    for partition, at, said in (
        (0, offset, "can be read"),
        (0, offset + 9, "has offsets 0 to"),
        (7, 0, "no partition 7"),
    ):
        with pytest.raises(Refused, match=said):
            await letters(kafka).skip(partition, at)
    with pytest.raises(Refused, match=r"lp\.results has no dead letters"):
        letters(kafka, "lp.results")


async def test_a_replay_ignores_skip_letters(broker: tuple[str, Path]) -> None:
    kafka, logs = broker
    offset = await put(kafka, "lp.steps", 0, [b"bad"])
    damage(logs, "lp.steps", 0, offset, "flipped bit")
    dlq = letters(kafka, "lp.steps")
    await dlq.skip(0, offset)
    before = await dlq.summary()
    assert (before.letters, before.skipped) == (0, 1)
    assert [one async for one in dlq.replay(10, "stop")] == []
    after = await dlq.summary()
    assert (after.letters, after.skipped) == (0, 0)
    assert await SkipLetters(kafka).past(TopicPartition("lp.steps", 0), offset) == offset + 1, "the skip stays valid"
