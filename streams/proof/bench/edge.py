"""`lpstream bench --only edge,edge_connections`: a saturated edge; an edge with 10,000 connections."""

import asyncio
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from schemas.errors import LpstreamError
from streams.local.installation import Installation
from streams.local.prepare import prepare
from streams.proof.bench.lab import TICKS_PER_S, cpu_s, peak_mb
from streams.proof.edge_load import Generator, Outcome, Plan
from streams.proof.edge_process import EdgeProcess, edge_process
from streams.runtime.settings import Settings

CONNECTIONS, RATE, SIZE, ADDRESSES = 10_000, 2_000.0, 20, 250
SATURATING = 200
TARGET_A_CORE, TARGET_P99_MS = 12_000, 50
WARM_S, COUNTED_WITHIN_S, LOOK_S = 2.0, 120.0, 0.5
RATES = ("CLIENT_RATE", "CLIENT_BYTE_RATE", "RATE", "BYTE_RATE")
UNLIMITED = {f"LPSTREAM_EDGE_{name}": "0" for name in RATES}
COUNTED = ("events", "pageviews", "clicks", "moves", "scrolls")
WITHOUT_KAFKA = "streams.proof.bench.edge_without_kafka"
KARAPACE = "no release of Karapace is on PyPI, and no other index or source host can be reached from here"

Row = dict[str, Any]
Say = Callable[[str], None]


def edge(*, rounds: int, seconds: float = 10.0, say: Say = lambda _: None) -> list[Row]:
    """Return the rows `edge`: acknowledged beacons per processor second of a saturated edge process.

    The reference is the same edge without Kafka, which is an upper bound.
    """
    ours: list[Row] = []
    bounds: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), on_event=say) as stack:
        asyncio.run(prepare(_settings(stack.env())))
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            with edge_process(stack, "bench-edge", UNLIMITED) as process:
                ours.append(_saturate(process, seconds, say))
            with edge_process(stack, "bench-edge", UNLIMITED, module=[WITHOUT_KAFKA]) as process:
                bounds.append(_saturate(process, seconds, say))
        versions = stack.versions()
    detail = {"edge": ours, "without_kafka": bounds, "events_per_beacon": SIZE, "cores": os.cpu_count(), **versions}
    value, bound = (round(statistics.median(run["per_core"] for run in runs)) for runs in (ours, bounds))
    return [
        _row("edge", "the same edge without Kafka", value, bound, "beacons/s a core", detail),
        _row("edge", "target: 12,000 a core", value, TARGET_A_CORE, "beacons/s a core", {}),
        _row("edge", "Karapace (not run)", value, None, "beacons/s a core", {"not_run": KARAPACE}),
    ]


def edge_connections(*, rounds: int, say: Say = lambda _: None) -> list[Row]:
    """Return the rows `edge_connections`: p99 in ms with all connections open.

    The first run has only the broker and the load generator beside the edge, and lasts `rounds` minutes, because
    pauses of the garbage collector are rare. The second has the whole pipeline and lasts a third of that. Raise
    LpstreamError if acknowledged and counted events differ.
    """
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), on_event=say) as stack:
        asyncio.run(prepare(_settings(stack.env())))
        # the default limits of the public listener are per client address, so the load has many addresses
        limits = {"CLIENT_RATE": "100", "CLIENT_BYTE_RATE": "262144", "CLIENT_CONNECTIONS": "1000"}
        services = Installation(stack, say, {f"LPSTREAM_EDGE_{name}": value for name, value in limits.items()})
        try:
            services.start()
            services.children["heatmap"].stop()
            alone = _connections(stack, services, _plan(services, 60.0 * rounds, seed=1), say)
            whole = _connections(stack, services, _plan(services, 20.0 * rounds, seed=2), say)
        finally:
            services.stop()
    target = f"target: p99 within {TARGET_P99_MS} ms"
    return [
        _row("edge_connections", target, alone["p99"], TARGET_P99_MS, "ms", alone),
        _row("edge_connections", f"{target}, the whole pipeline beside it", whole["p99"], TARGET_P99_MS, "ms", whole),
    ]


def _plan(services: Installation, seconds: float, seed: int) -> Plan:
    """Return the plan of a run. Each run needs another seed, because repeated pageviews count as retries."""
    return Plan(services.edge_url, CONNECTIONS, RATE, seconds, SIZE, addresses=ADDRESSES, seed=seed)


def _connections(stack: Stack, services: Installation, plan: Plan, say: Say) -> Row:
    """Run the load, then count its events. Start the heatmap worker for that if it is not running."""
    before = asyncio.run(_counted(stack, 0))
    outcome, usage = _measured(stack, services, plan, say)
    if not services.children["heatmap"].alive:
        services.launch("heatmap")
    acknowledged = {name: outcome.counts[name] for name in COUNTED}
    after = asyncio.run(_counted(stack, before["events"] + acknowledged["events"]))
    counted = {name: after[name] - before[name] for name in COUNTED}
    if counted != acknowledged:
        raise LpstreamError(f"acknowledged {acknowledged}, counted {counted}")
    return {
        **outcome.latency(), "connections": plan.connections, "seconds": plan.seconds,
        "beacons_per_second": round(outcome.acknowledged / outcome.seconds), "acknowledged": outcome.acknowledged,
        "errors": outcome.errors, "statuses": dict(outcome.statuses), "counted": counted, **usage,
        "collections": _collections(services), "cores": os.cpu_count(),
    }  # fmt: skip


def _row(row_id: str, reference: str, value: float, against: float | None, unit: str, detail: Row) -> Row:
    ratio = round(value / against, 2) if against else None
    return {
        "id": row_id, "reference": reference, "value": value, "unit": unit, "reference_value": against,
        "ratio": ratio, "detail": detail,
    }  # fmt: skip


def _settings(env: dict[str, str]) -> Settings:
    values: Any = {name.removeprefix("LPSTREAM_").lower(): value for name, value in env.items()}
    return Settings(**values)


def _saturate(process: EdgeProcess, seconds: float, say: Say) -> Row:
    _load(Plan(process.url, SATURATING, 0, WARM_S, SIZE, seed=7))
    before = cpu_s(process.child)
    outcome = _load(Plan(process.url, SATURATING, 0, seconds, SIZE))
    used = cpu_s(process.child) - before
    if outcome.errors:
        raise LpstreamError(f"the saturated edge answered {dict(outcome.statuses)}")
    run = {
        "per_core": round(outcome.acknowledged / used),
        "beacons_per_second": round(outcome.acknowledged / outcome.seconds),
        "cores_used": round(used / outcome.seconds, 2),
        **outcome.latency(),
    }
    say(f"{run['per_core']:,} beacons/s per core")
    return run


def _load(plan: Plan, processes: int = 1) -> Outcome:
    generator = Generator(plan, processes)
    try:
        generator.connect()
        return generator.run()
    finally:
        generator.stop()


def _measured(stack: Stack, services: Installation, plan: Plan, say: Say) -> tuple[Outcome, Row]:
    """Run the plan. Return the outcome, and the cores and memory used.

    Cores are by process, with the load generator, other programs and the machine.
    """
    edge_process = services.children["edge"]
    running = {name: child for name, child in {**services.children, **stack.processes}.items() if child.alive}
    idle_mb = edge_process.memory_mb()
    generator = Generator(plan, processes=2)
    try:
        generator.connect()
        open_mb = edge_process.memory_mb()
        say(f"{plan.connections:,} connections are open, {plan.rate:,.0f} beacons/s for {plan.seconds:g} s")
        before, machine = {name: cpu_s(child) for name, child in running.items()}, _machine_s()
        began = time.monotonic()
        outcome = generator.run()
        seconds = time.monotonic() - began
        machine = _machine_s() - machine
        used = {name: cpu_s(child) - before[name] for name, child in running.items()}
    finally:
        generator.stop()
    cores = {**used, "load generator": outcome.cpu_s}
    cores |= {"other programs": machine - sum(cores.values()), "machine": machine}
    return outcome, {
        "cpu": {name: round(spent / seconds, 2) for name, spent in cores.items()},
        "edge_mb": {"idle": round(idle_mb), "connected": round(open_mb), "peak": round(peak_mb(edge_process))},
        "mb": {name: round(child.memory_mb()) for name, child in running.items()},
    }


def _machine_s() -> float:
    """Return the machine's busy processor seconds since boot: all except idle and I/O wait, proc(5)."""
    user, nice, system, _, _, *rest = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / TICKS_PER_S


async def _counted(stack: Stack, events: int) -> dict[str, int]:
    """Return the sums in ClickHouse once they reach `events`, or after COUNTED_WITHIN_S."""
    at = stack.addresses
    clickhouse = ClickHouse.open(at.clickhouse_url, at.analyst_user, at.analyst_password)
    query = f"SELECT {', '.join(f'sum({name}) AS {name}' for name in COUNTED)} FROM heatmap_windows"
    deadline = time.monotonic() + COUNTED_WITHIN_S
    try:
        while True:
            row = (await clickhouse.rows(query))[0]
            sums = {name: int(row[name]) for name in COUNTED}
            if sums["events"] >= events or time.monotonic() > deadline:
                return sums
            await asyncio.sleep(LOOK_S)
    finally:
        await clickhouse.close()


def _collections(services: Installation) -> dict[str, Row]:
    """Return the runs and seconds of Python's garbage collector, by generation.

    `longest_below` is the smallest histogram bound above its longest pause, in seconds.
    """
    request = urllib.request.Request(  # noqa: S310 - loopback address
        f"{services.api_url}/metrics", headers={"Authorization": f"Bearer {services.token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback address
        lines = [line for line in answer.read().decode().splitlines() if "edge_collection_seconds" in line]
    generations: dict[str, Row] = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if 'generation="' not in name:
            continue
        generation = name.split('generation="')[1][0]
        row = generations.setdefault(generation, {"count": 0, "seconds": 0.0, "longest_below": None})
        if "_count{" in name:
            row["count"] = int(float(value))
        elif "_sum{" in name:
            row["seconds"] = round(float(value), 3)
        elif "_bucket{" in name:
            row.setdefault("buckets", []).append((name.split('le="')[1].split('"')[0], float(value)))
    for row in generations.values():
        row["longest_below"] = next((bound for bound, seen in row.pop("buckets", []) if seen == row["count"]), None)
    return generations
