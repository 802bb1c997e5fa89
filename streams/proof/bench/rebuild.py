"""`lpstream bench --only rebuild`: the rate of `lpstream rebuild` on a log like the normal load's.

The benchmark sets the records' timestamps to 200 beacons per second. So the log has many small buckets, as a live log
has; a log filled at full speed would have few large buckets.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from statistics import median
from uuid import UUID

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.kafka.admin import open_admin
from infra.kafka.log import ends_of
from processors.heatmap.cuts import Cut
from schemas.errors import LpstreamError
from schemas.heatmap import TOPIC
from streams.operate.marks import commit_for_group
from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.bench.lab import Lab, events_in, lab
from streams.proof.bench.load import Load, appending, partitions_of, templates
from streams.proof.processes import cpu_s, peak_mb
from streams.runtime.stores import open_writer

PER_S = 200
SEVEN_DAYS_S, GOAL_S = 7 * 86_400, 3_600
POLL_S = 0.1
LOAD = Load(size=3, records=500_000)


def rebuild(*, rounds: int, load: Load = LOAD, say: Say = quiet) -> list[Row]:
    """Return the row: records/s of a rebuild. The reference reads seven days of normal load in an hour."""
    with lab(say) as place:
        place.empty_log()
        place.reset()
        say(f"filling {TOPIC} with {load.records / PER_S / 60:.0f} minutes of {PER_S} beacons/s")
        events = asyncio.run(_fill(place, load))
        runs = [_run(place, events) for _ in range(rounds)]
        versions = place.stack.versions()
    value = median(run["records_per_second"] for run in runs)
    goal = SEVEN_DAYS_S * PER_S / GOAL_S
    hours = round(SEVEN_DAYS_S * PER_S / value / 3600, 2)
    detail = {
        "records": load.records,
        "events_per_beacon": load.size,
        "seven_days_h": hours,
        "runs": runs,
        "versions": versions,
        "cores": os.cpu_count(),
    }
    return [row("rebuild", f"seven days of {PER_S} beacons/s in an hour", value, "records/s", goal, detail)]


async def _fill(place: Lab, load: Load) -> int:
    """Append the load with set timestamps, the last one now, and mark it as counted. Return its events."""
    servers = place.settings.kafka_bootstrap_servers
    async with open_admin(servers) as admin:
        own_times = {"message.timestamp.type": "CreateTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, own_times)])
    async with appending(servers) as batches:
        rng, now_ms, events = random.Random(load.seed), int(time.time() * 1000), 0
        pool = templates(load, now_ms)
        for number in range(load.records):
            age_ms = (load.records - number) * 1000 // PER_S
            key = str(UUID(int=rng.getrandbits(128), version=4)).encode()
            template = rng.choice(pool)
            events += template.counts["events"]
            body = template.body(key, template.t0 - age_ms - rng.randrange(load.span_ms))
            await batches.append(partitions_of([key], batches.partitions)[0], body, now_ms - age_ms)
        await batches.finish()
        mark = Cut(place.settings.heatmap_bucket_records).metadata
        await commit_for_group(servers, await ends_of(servers, TOPIC), mark)
    return events


def _run(place: Lab, events: int) -> Row:
    """Run the command on the lab's stack; return its figures, processor seconds and memory."""
    command = [sys.executable, "-m", "streams", "rebuild", "--json"]
    store = place.stack.processes["clickhouse"].pid
    before, own_cpu_s, rss_mb = cpu_s(store), 0.0, 0.0
    with subprocess.Popen(command, env=os.environ | place.stack.env(), stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            try:
                own_cpu_s, rss_mb = cpu_s(child.pid), peak_mb(child.pid)
            except (OSError, StopIteration):  # the process has ended
                break
            time.sleep(POLL_S)
        out = child.communicate()[0]
    if child.returncode:
        raise LpstreamError(f"`lpstream rebuild` ended with code {child.returncode}")
    if (counted := asyncio.run(_counted(place))) != events:
        raise LpstreamError(f"rebuilt {counted} events, produced {events}")
    figures: Row = json.loads(out)
    return figures | {
        "cpu_s": round(own_cpu_s, 1),
        "clickhouse_cpu_s": round(cpu_s(store) - before, 1),
        "rss_mb": round(rss_mb),
    }


async def _counted(place: Lab) -> int:
    clickhouse = open_writer(place.settings)
    try:
        return await events_in(clickhouse)
    finally:
        await clickhouse.close()
