"""Logs of other producers: transactions, aborted transactions, deleted records, recreated topics."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from beacons import analyst, some_beacons, wait_counted
from foreign_producers import in_transactions, producing
from harness import Traffic, full_only, kill_and_launch, metrics_of, scaled, stop_worker

from infra.embedded.kafka import JARS
from infra.embedded.stack import Stack
from infra.kafka.admin import committed, open_admin
from schemas.errors import Refused
from schemas.heatmap import GROUP, TOPIC
from streams.heatmap.rewound import refuse_rewound
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of
from streams.proof.visitors import tally

pytestmark = [full_only, pytest.mark.stack]


def worker_log(stack: Stack) -> str:
    return Path(stack.data / "logs" / "heatmap.log").read_text(encoding="utf-8")


async def test_aborted_transactions_are_not_counted(traffic: Traffic, stack: Stack, installation: Installation) -> None:
    mine = some_beacons(traffic.lp_id, 20_000)[-int(scaled(150, 300)) :]
    before = worker_log(stack).count("reading again")
    async with producing(stack, transactional_id="outside") as producer, traffic.flowing():
        traffic.faults["aborted transactions"] = await in_transactions(producer, mine, 4)
        traffic.faults["transactions"] = len(mine) // 5
        await kill_and_launch(installation, "heatmap")
        traffic.faults["SIGKILL of the worker"] += 1
        await asyncio.sleep(3)
    traffic.acknowledged += mine
    await traffic.assert_exact()
    assert worker_log(stack).count("reading again") == before


async def test_a_recreated_topic_loses_no_events(traffic: Traffic, stack: Stack, installation: Installation) -> None:
    async with traffic.flowing():
        await asyncio.sleep(3)
    await traffic.assert_exact()
    first = list(traffic.acknowledged)
    async with open_admin(stack.addresses.kafka) as admin:
        await admin.delete_topics([TOPIC])
    await asyncio.sleep(2)
    await prepare(settings_of(stack))
    traffic.faults["topic deleted and created again"] += 1
    async with traffic.flowing():
        for _ in range(30):
            await asyncio.sleep(0.5)
            if not installation.children["heatmap"].alive:
                installation.launch("heatmap")
                traffic.faults["the worker ended"] += 1
    await traffic.assert_exact()
    assert first


async def test_records_deleted_before_counting_are_reported(stack: Stack, installation: Installation) -> None:
    place = TopicPartition(TOPIC, 1)
    beacons = some_beacons("lost", 10)[:5]
    clickhouse = analyst(stack)

    async def append_here(producer: AIOKafkaProducer, beacon: dict[str, Any]) -> int:
        sent = await producer.send_and_wait(TOPIC, msgspec.json.encode(beacon), partition=place.partition)
        return int(sent.offset)

    async with producing(stack) as producer, open_admin(stack.addresses.kafka) as admin:
        await append_here(producer, beacons[0])
        await wait_counted(clickhouse, "lost", tally(beacons[:1]).total(), 240)
        await stop_worker(stack, installation)
        offsets = await committed(stack.addresses.kafka, GROUP)
        last = [await append_here(producer, beacon) for beacon in beacons[1:4]][-1]
        await admin.delete_records({place: RecordsToDelete(before_offset=last + 1)})
        await append_here(producer, beacons[4])
    installation.launch("heatmap")
    remaining = tally([beacons[0], beacons[4]]).total()
    assert (await wait_counted(clickhouse, "lost", remaining, 240))["events"] == remaining
    await clickhouse.close()
    missing = last + 1 - offsets[place].offset
    assert f"{missing} records or markers were deleted before they were counted" in worker_log(stack)
    shown = await asyncio.to_thread(metrics_of, installation, "heatmap")
    assert f'lpstream_heatmap_lost_offsets_total{{partition="1"}} {missing}.0' in shown


DELETE_OFFSETS = """
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.TopicPartition;
import java.util.*;
class DeleteOffsets {
    public static void main(String[] args) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) args[0]))) {
            admin.deleteConsumerGroupOffsets(args[1], Set.of(new TopicPartition(args[2], 1))).all().get();
        }
    }
}
"""


async def test_manually_deleted_offsets_of_a_partition_are_refused(
    traffic: Traffic, stack: Stack, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traffic.flowing():
        await asyncio.sleep(3)
    await traffic.assert_exact()
    await stop_worker(stack, installation)
    program = tmp_path / "DeleteOffsets.java"
    program.write_text(DELETE_OFFSETS)
    java = ["java", "-cp", f"{next(JARS.glob('libs-*'))}/*", str(program), stack.addresses.kafka, GROUP, TOPIC]
    done = await asyncio.to_thread(subprocess.run, java, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(
        "streams.heatmap.rewound.BEFORE_MS", -60_000
    )  # as if the tables had rows after the missing offsets
    with pytest.raises(Refused, match=r"no offsets for partitions 1 of heatmap.events.*lpstream rebuild"):
        await refuse_rewound(settings_of(stack))
    installation.launch("heatmap")
