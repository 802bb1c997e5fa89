"""An unreadable batch stops only its partition, and its skip letter lets the workers continue."""

import asyncio
import re
import shlex
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from beacons import PARTITIONS, analyst, assert_counted, assert_tables_equal, some_beacons, totals, wait_counted
from command import lpstream
from damaged_batches import Damage, damage, logs_of, put
from harness import full_only, metrics_of
from page_requests import least
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.producer import partition_of
from schemas.generation import REQUESTS, GenerationRequest, encode_model
from schemas.heatmap import TOPIC
from streams.local.installation import Installation
from streams.proof.orders import Answer, Orders, orders
from streams.proof.visitors import tally

pytestmark = [full_only, pytest.mark.stack]
COMMAND = re.compile(r"lpstream (dlq skip \S+ \d+ \d+)$", re.MULTILINE)
SETTLE_S = 8
Beacons = list[dict[str, Any]]


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


def stopped(services: Installation, worker: str) -> set[str]:
    """Return the stopped partitions from the worker's gauge."""
    lines = metrics_of(services, worker).splitlines()
    return {line for line in lines if line.startswith("lpstream_unreadable_partitions{")}


def gauge(topic: str, partition: int) -> str:
    return f'lpstream_unreadable_partitions{{partition="{partition}",topic="{topic}"}} 1.0'


def stop(services: Installation, worker: str) -> None:
    services.children[worker].stop()
    services.children[worker].log.unlink(missing_ok=True)


def commands(services: Installation, worker: str) -> list[str]:
    """Return the skip commands in the worker's log."""
    return COMMAND.findall(services.children[worker].log.read_text(encoding="utf-8").replace('"', "\n"))


def run(stack: Stack, command: str) -> None:
    done = lpstream(*shlex.split(command), data=stack.data)
    assert done.returncode == 0, done.stderr


async def put_beacons(stack: Stack, beacons: Beacons, partition: int) -> int:
    return await put(stack.addresses.kafka, TOPIC, partition, [msgspec.json.encode(one) for one in beacons])


def split(lp_id: str) -> tuple[int, Beacons, dict[int, Beacons]]:
    """Return the partition with the most beacons, its beacons, and the other beacons by partition."""
    by_partition: dict[int, Beacons] = {}
    for one in some_beacons(lp_id, 40):
        by_partition.setdefault(partition_of(one["pageview_id"].encode(), PARTITIONS), []).append(one)
    most = max(by_partition, key=lambda place: len(by_partition[place]))
    return most, by_partition.pop(most), by_partition


@pytest.mark.parametrize("kind", ["flipped bit", "codec 7"])
async def test_heatmaps_count_everything_but_the_skipped_batch(
    stack: Stack, installation: Installation, kind: Damage
) -> None:
    place, here, elsewhere = split(lp_id := f"bad{uuid4().hex[:8]}")
    third = len(here) // 3
    before, bad, behind = here[:third], here[third : 2 * third], here[2 * third :]
    stop(installation, "heatmap")
    await put_beacons(stack, before, place)
    offset = await put_beacons(stack, bad, place)
    await put_beacons(stack, behind, place)
    for partition, some in elsewhere.items():
        await put_beacons(stack, some, partition)
    others = [one for some in elsewhere.values() for one in some]
    damage(logs_of(stack), TOPIC, place, offset, kind)
    installation.launch("heatmap")
    clickhouse = analyst(stack)
    await until(lambda: stopped(installation, "heatmap") == {gauge(TOPIC, place)})
    assert (await wait_counted(clickhouse, lp_id, tally(others).total()))["events"] >= tally(others).total()
    await asyncio.sleep(SETTLE_S)
    counted = (await totals(clickhouse, lp_id))["events"]
    assert tally(others).total() <= counted <= tally(others + before).total(), (
        "records after the bad batch must not be counted yet"
    )
    assert commands(installation, "heatmap") == [f"dlq skip {TOPIC} {place} {offset}"], (
        "the command must be logged once"
    )

    run(stack, commands(installation, "heatmap")[0])
    expected = tally(others + before + behind).total()
    assert (await wait_counted(clickhouse, lp_id, expected))["events"] == expected
    await until(lambda: not stopped(installation, "heatmap"))
    await asyncio.to_thread(restart, installation, "heatmap")
    await asyncio.sleep(SETTLE_S)
    assert not stopped(installation, "heatmap")
    await assert_tables_equal(clickhouse, lp_id, others + before + behind)
    await clickhouse.close()


async def test_a_worker_that_starts_later_reads_the_skip_letter(stack: Stack, installation: Installation) -> None:
    place, here, _ = split(lp_id := f"late{uuid4().hex[:8]}")
    stop(installation, "heatmap")
    offset = await put_beacons(stack, here[:3], place)
    await put_beacons(stack, here[3:], place)
    damage(logs_of(stack), TOPIC, place, offset, "flipped bit")
    run(stack, f"dlq skip {TOPIC} {place} {offset + 1}")
    installation.launch("heatmap")
    await assert_counted(stack, lp_id, tally(here[3:]).total())


def restart(installation: Installation, worker: str) -> None:
    installation.children[worker].stop()
    installation.launch(worker)


async def put_request(sent_requests: Orders, stack: Stack, partition: int) -> tuple[str, int]:
    one: GenerationRequest = least(request_id=str(uuid4()), tenant_id="demo")
    sent_requests.answers[str(one.request_id)] = Answer(1)
    return str(one.request_id), await put(stack.addresses.kafka, REQUESTS, partition, [encode_model(one)])


async def test_all_requests_but_the_skipped_batch_become_pages(stack: Stack, installation: Installation) -> None:
    stop(installation, "generation")
    async with orders(stack.addresses.kafka, "apache") as sent_requests:
        (first, _), (bad, offset), (behind, _) = [await put_request(sent_requests, stack, 5) for _ in range(3)]
        other, _ = await put_request(sent_requests, stack, 6)
        damage(logs_of(stack), REQUESTS, 5, offset, "flipped bit")
        installation.launch("generation")
        await until(lambda: set(sent_requests.open) == {bad, behind} and stopped(installation, "generation") != set())
        assert stopped(installation, "generation") == {gauge(REQUESTS, 5)}
        assert commands(installation, "generation") == [f"dlq skip {REQUESTS} 5 {offset}"]

        run(stack, commands(installation, "generation")[0])
        await until(lambda: sent_requests.open == [bad] and not stopped(installation, "generation"))
        await asyncio.sleep(4)  # a commit interval
        await asyncio.to_thread(restart, installation, "generation")
        last, _ = await put_request(sent_requests, stack, 5)
        await until(lambda: sent_requests.open == [bad])
        assert {len(sent_requests.answers[one].values) for one in (first, other, behind, last)} == {1}
