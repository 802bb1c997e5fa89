"""`lpstream bench --only latency`: the time from the broker's append to a SELECT, under load.

Probes are beacons of separate pages, sent among the load. A probe is seen when a SELECT on the last of a bucket's five
tables returns it.
"""

import asyncio
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaProducer

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from infra.kafka.access import reach
from infra.kafka.producer import build_producer, partition_of
from schemas.errors import LpstreamError
from schemas.heatmap import TOPIC
from streams.proof.bench.lab import Lab, Say, lab
from streams.proof.bench.load import BATCH_BYTES, Batches, Filled, Load, records
from streams.proof.visitors import page_of

SIZE = 100
PROBE_EVERY_S, LOOK_S, STEP_S, SEEN_WITHIN_S = 0.05, 0.05, 0.1, 60.0
TARGET_MS = 8_000
PEAK_RECORDS = 40_000
SEEN = "SELECT DISTINCT lp_id FROM heatmap_views WHERE startsWith(lp_id, 'probe_')"

Row = dict[str, Any]


@dataclass(slots=True)
class Probes:
    """The times of the probes in ms: appended (broker's clock), first seen (ours, same machine)."""

    appended: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def delays(self) -> list[int]:
        """Return the delays in ms, sorted."""
        return sorted(self.seen[name] - at for name, at in self.appended.items())


def latency(
    *, rounds: int, rate: float = 0.0, seconds: float = 20.0, stack: Stack | None = None, say: Say = lambda _: None
) -> list[Row]:
    """Return the row `latency`: p99 in ms over `rounds` times `seconds` at `rate` events/s.

    Beacons have 100 events. A rate of 0 means half the rate of a drain that runs first. `stack` is as for `drain`.
    """
    with tempfile.TemporaryDirectory() as folder, lab(stack, Path(folder), say) as place:
        peak = 0.0
        if not rate:
            peak = place.run_workers(place.new_log(Load(SIZE, PEAK_RECORDS))).rate
            rate = peak / 2
        place.empty_log()
        say(f"{rate:,.0f} events/s for {rounds * seconds:g} s")
        with place.workers():
            probes, sent = asyncio.run(_measure(place, rate, rounds * seconds))
    return [_row(probes.delays(), peak, rate, sent, rounds * seconds)]


def _row(delays: Sequence[int], peak: float, rate: float, sent: float, seconds: float) -> Row:
    p99 = _percentile(delays, 0.99)
    return {
        "id": "latency",
        "reference": "target: p99 within 8 s",
        "value": p99,
        "unit": "ms",
        "reference_value": TARGET_MS,
        "ratio": round(p99 / TARGET_MS, 2),
        "detail": {
            "p50_ms": _percentile(delays, 0.5),
            "p99_ms": p99,
            "max_ms": delays[-1],
            "probes": len(delays),
            "seconds": seconds,
            "events_per_second": round(sent),
            "asked_events_per_second": round(rate),
            "peak_events_per_second": round(peak),
            "cores": os.cpu_count(),
        },
    }


def _percentile(ordered: Sequence[int], share: float) -> int:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def _measure(place: Lab, rate: float, seconds: float) -> tuple[Probes, float]:
    """Return the probes, and the events per second actually sent."""
    probes = Probes()
    clickhouse = place.clickhouse()
    servers = place.settings.kafka_bootstrap_servers
    producer = build_producer(servers, place.settings.broker)
    bulk = AIOKafkaProducer(**reach(servers), max_batch_size=BATCH_BYTES, acks="all")
    try:
        await producer.start()
        await bulk.start()
        done = asyncio.Event()
        looking = asyncio.create_task(_look(clickhouse, probes, done))
        sent, _ = await asyncio.gather(_load(bulk, rate, seconds), _probe(producer, probes, seconds))
        done.set()
        await asyncio.wait_for(looking, SEEN_WITHIN_S)
    except TimeoutError as error:
        missing = len(probes.appended) - len(probes.seen)
        raise LpstreamError(f"{missing} probes were not seen within {SEEN_WITHIN_S:g} s") from error
    finally:
        await producer.stop()
        await bulk.stop()
        await clickhouse.close()
    return probes, sent


async def _load(producer: AIOKafkaProducer, rate: float, seconds: float) -> float:
    load = Load(SIZE, round(rate * seconds / SIZE))
    partitions = len(await producer.partitions_for(TOPIC))
    batches = Batches(producer, partitions)
    step = max(1, round(rate * STEP_S / SIZE))
    stream = records(load, partitions, Filled(load), int(time.time() * 1000))
    started = time.monotonic()
    for number, (partition, body) in enumerate(stream, 1):
        await batches.append(partition, body)
        if number % step == 0:
            await batches.finish()
            await asyncio.sleep(max(0.0, started + number * SIZE / rate - time.monotonic()))
    await batches.finish()
    return load.events / (time.monotonic() - started)


async def _probe(producer: AIOKafkaProducer, probes: Probes, seconds: float) -> None:
    partitions = len(await producer.partitions_for(TOPIC))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        name, pageview_id = f"probe_{len(probes.appended):06d}", str(uuid4())
        partition = partition_of(pageview_id.encode(), partitions)
        done = await producer.send_and_wait(TOPIC, _beacon(name, pageview_id), partition=partition)
        probes.appended[name] = int(done.timestamp)
        await asyncio.sleep(PROBE_EVERY_S)


def _beacon(name: str, pageview_id: str) -> bytes:
    page = page_of(name, "mobile")
    sizes = {"viewport_w": page.width, "viewport_h": page.viewport_h, "page_w": page.width, "page_h": page.height}
    head = {"schema": 1, "lp_id": name, "pageview_id": pageview_id, "seq": 0, "device": page.device, **sizes}
    event = {"type": "s", "dt": [0], "x": [0], "y": [0], "dwell": [0]}
    return msgspec.json.encode({**head, "t0": int(time.time() * 1000), "depth": 0, **event})


async def _look(clickhouse: ClickHouse, probes: Probes, done: asyncio.Event) -> None:
    while not done.is_set() or len(probes.seen) < len(probes.appended):
        rows = await clickhouse.rows(SEEN)
        now = int(time.time() * 1000)
        for row in rows:
            probes.seen.setdefault(row["lp_id"], now)
        await asyncio.sleep(LOOK_S)
