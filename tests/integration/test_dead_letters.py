"""`lpstream dlq`: dead letters are listed, shown, and replayed once they can be decoded."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from beacons import PARTITIONS, analyst, some_beacons, wait_counted
from command import lpstream
from harness import full_only
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.producer import partition_of
from streams.local.installation import Installation
from streams.proof.visitors import tally

pytestmark = pytest.mark.stack


async def put(stack: Stack, letters: list[tuple[bytes, int]]) -> None:
    """Produce dead letters as the worker writes them, with the partition of each record's origin."""
    async with AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka) as producer:
        for value, partition in letters:
            headers = [
                ("error", b"seq: wrong \x1b[31m"),
                ("topic", b"heatmap.events"),
                ("partition", str(partition).encode()),
                ("offset", b"7"),
            ]
            await producer.send_and_wait("heatmap.events.dlq", value, partition=1, headers=headers)


def dlq(stack: Stack, *args: str) -> Any:
    done = lpstream("dlq", *args, data=stack.data)
    return done.returncode, done.stdout, done.stderr


async def test_dead_letters_are_listed_shown_and_replayed_once(stack: Stack, installation: Installation) -> None:
    before = {row["topic"]: row["letters"] for row in json.loads(dlq(stack, "ls", "--json")[1])}
    beacons = some_beacons("replayed", 3)
    letters = [(msgspec.json.encode(one), partition_of(one["pageview_id"].encode(), PARTITIONS)) for one in beacons]
    await put(stack, letters)
    after = {row["topic"]: row["letters"] for row in json.loads(dlq(stack, "ls", "--json")[1])}
    assert after["heatmap.events.dlq"] == before["heatmap.events.dlq"] + len(letters)

    code, shown, _ = dlq(stack, "show", "heatmap.events", "--limit", "1000")
    assert code == 0 and "seq: wrong" in shown and "replayed" in shown and "\x1b[31m" not in shown

    code, printed, _ = dlq(stack, "replay", "heatmap.events", "--on-error", "requeue", "--json")
    figures = json.loads(printed)
    assert code == 0 and figures["replayed"] == len(letters)
    assert figures["requeued"] == before["heatmap.events.dlq"]
    clickhouse = analyst(stack)
    assert (await wait_counted(clickhouse, "replayed", tally(beacons).total()))["events"] == tally(beacons).total()
    assert json.loads(dlq(stack, "replay", "heatmap.events", "--on-error", "requeue", "--json")[1])["replayed"] == 0
    await asyncio.sleep(7)
    assert (await wait_counted(clickhouse, "replayed", 0))["events"] == tally(beacons).total()
    await clickhouse.close()


async def test_records_too_large_for_a_letter_block_no_partition(stack: Stack, installation: Installation) -> None:
    before = {row["topic"]: row["letters"] for row in json.loads(dlq(stack, "ls", "--json")[1])}
    kafka, large = stack.addresses.kafka, 8 << 20
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, compression_type="gzip", max_batch_size=large, max_request_size=large
    ) as producer:
        await producer.send_and_wait("lp.requests", b" " * 3_000_000, key=b"k" * 2_000)
        for partition in range(PARTITIONS):
            await producer.send_and_wait("heatmap.events", b" " * 3_000_000, partition=partition)
        beacons = some_beacons("behind", 3)
        for one in beacons:
            await producer.send_and_wait("heatmap.events", msgspec.json.encode(one), partition=0)
    clickhouse = analyst(stack)
    assert (await wait_counted(clickhouse, "behind", tally(beacons).total()))["events"] == tally(beacons).total()
    await clickhouse.close()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            after = {row["topic"]: row["letters"] for row in json.loads(dlq(stack, "ls", "--json")[1])}
            more = {topic: after[topic] - before[topic] for topic in ("heatmap.events.dlq", "lp.requests.dlq")}
            if more == {"heatmap.events.dlq": PARTITIONS, "lp.requests.dlq": 1}:
                break
            await asyncio.sleep(0.5)
    code, _, message = dlq(stack, "replay", "lp.requests")
    assert code == 1 and "only the beginning of a record of 3002000 bytes" in message


@full_only
async def test_a_replay_stops_at_an_undecodable_record(stack: Stack, installation: Installation) -> None:
    beacon = some_beacons("stopped", 1)[0]
    await put(stack, [(b"{broken", 3), (msgspec.json.encode(beacon), 3)])
    code, _, message = dlq(stack, "replay", "heatmap.events")
    assert code == 1 and "still cannot be decoded" in message and "--on-error requeue" in message
    waiting = {row["topic"]: row["letters"] for row in json.loads(dlq(stack, "ls", "--json")[1])}
    assert waiting["heatmap.events.dlq"] >= 2, "the replay must skip nothing"


def test_a_topic_without_dead_letters_is_named(stack: Stack, installation: Installation) -> None:
    code, _, message = dlq(stack, "show", "lp.results")
    assert code == 1 and "lp.results has no dead letters" in message
