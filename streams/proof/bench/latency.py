"""`lpstream bench --only latency`: the time from the broker's append to a SELECT, under load.

Probes are beacons of separate pages, sent among the load. A probe is seen when a SELECT on the last of a bucket's five
tables returns it.
"""

import asyncio
import os
import time
from dataclasses import dataclass, field
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from infra.clickhouse.client import ClickHouse
from infra.kafka.producer import build_producer, partition_of
from schemas.errors import LpstreamError
from schemas.heatmap import TOPIC
from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.bench.lab import Lab, lab
from streams.proof.bench.load import Batches, Filled, Load, appending, records
from streams.proof.percentiles import spread
from streams.proof.visitors import probe
from streams.runtime.stores import open_writer

SIZE = 100
PROBE_EVERY_S, POLL_S, STEP_S, SEEN_WITHIN_S = 0.05, 0.05, 0.1, 60.0
TARGET_MS = 8_000
PEAK_RECORDS = 40_000
SEEN = "SELECT DISTINCT lp_id FROM heatmap_views WHERE startsWith(lp_id, 'probe_')"


@dataclass(slots=True)
class Probes:
    """The times of the probes in ms: appended (broker's clock), first seen (ours, same machine)."""

    appended: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def delays(self) -> list[int]:
        """Return the delays in ms."""
        return [self.seen[name] - at for name, at in self.appended.items()]


def latency(*, rounds: int, rate: float = 0.0, seconds: float = 20.0, say: Say = quiet) -> list[Row]:
    """Return the row `latency`: p99 in ms over `rounds` times `seconds` at `rate` events/s.

    Beacons have 100 events. A rate of 0 means half the rate of a drain that runs first.
    """
    with lab(say) as place:
        peak = 0.0
        if not rate:
            peak = place.run_workers(place.new_log(Load(SIZE, PEAK_RECORDS))).rate
            rate = peak / 2
        place.empty_log()
        say(f"{rate:,.0f} events/s for {rounds * seconds:g} s")
        with place.workers():
            probes, sent = asyncio.run(_measure(place, rate, rounds * seconds))
    return [_row(probes.delays(), peak, rate, sent, rounds * seconds)]


def _row(delays: list[int], peak: float, rate: float, sent: float, seconds: float) -> Row:
    percentiles = spread(delays)
    detail = {
        **{f"{name}_ms": percentiles[name] for name in ("p50", "p99", "max")},
        "probes": len(delays),
        "seconds": seconds,
        "events_per_second": round(sent),
        "asked_events_per_second": round(rate),
        "peak_events_per_second": round(peak),
        "cores": os.cpu_count(),
    }
    return row("latency", "target: p99 within 8 s", percentiles["p99"], "ms", TARGET_MS, detail)


async def _measure(place: Lab, rate: float, seconds: float) -> tuple[Probes, float]:
    """Return the probes, and the events per second actually sent."""
    probes = Probes()
    clickhouse = open_writer(place.settings)
    servers = place.settings.kafka_bootstrap_servers
    try:
        async with build_producer(servers, place.settings.broker) as producer, appending(servers) as batches:
            done = asyncio.Event()
            looking = asyncio.create_task(_look(clickhouse, probes, done))
            sent, _ = await asyncio.gather(_load(batches, rate, seconds), _probe(producer, probes, seconds))
            done.set()
            await asyncio.wait_for(looking, SEEN_WITHIN_S)
    except TimeoutError as error:
        missing = len(probes.appended) - len(probes.seen)
        raise LpstreamError(f"{missing} probes were not seen within {SEEN_WITHIN_S:g} s") from error
    finally:
        await clickhouse.close()
    return probes, sent


async def _load(batches: Batches, rate: float, seconds: float) -> float:
    load = Load(SIZE, round(rate * seconds / SIZE))
    step = max(1, round(rate * STEP_S / SIZE))
    stream = records(load, batches.partitions, Filled(load), int(time.time() * 1000))
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
        done = await producer.send_and_wait(TOPIC, probe(name, pageview_id), partition=partition)
        probes.appended[name] = int(done.timestamp)
        await asyncio.sleep(PROBE_EVERY_S)


async def _look(clickhouse: ClickHouse, probes: Probes, done: asyncio.Event) -> None:
    while not done.is_set() or len(probes.seen) < len(probes.appended):
        rows = await clickhouse.rows(SEEN)
        now = int(time.time() * 1000)
        for page in rows:
            probes.seen.setdefault(page["lp_id"], now)
        await asyncio.sleep(POLL_S)
