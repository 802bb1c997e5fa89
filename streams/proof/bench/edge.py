"""`lpstream bench --only edge,edge_cost,edge_connections`: saturated, usual load, many connections."""

import asyncio
import os
import sys
import time
import urllib.request
from statistics import median

from infra.embedded.stack import Stack
from schemas.errors import LpstreamError
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of
from streams.proof.bench.frame import Row, Say, own_services, own_stack, quiet, row
from streams.proof.bench.lab import CACHE
from streams.proof.bench.peers.edge_httptools import library as httptools
from streams.proof.edge_load import Generator, Outcome, Plan
from streams.proof.edge_process import EdgeProcess, edge_process
from streams.proof.processes import cpu_s, machine_s, peak_mb
from streams.runtime.stores import open_analyst

CONNECTIONS, RATE, SIZE, ADDRESSES = 10_000, 2_000.0, 20, 250
SATURATING = 500  # connections, each with one open beacon: with fewer the edge waits for its next departure
TARGET_A_CORE, TARGET_P99_MS = 12_000, 50
WARM_S, COUNTED_WITHIN_S, POLL_S = 2.0, 120.0, 0.5
RATES = ("CLIENT_RATE", "CLIENT_BYTE_RATE", "RATE", "BYTE_RATE")
UNLIMITED = {f"LPSTREAM_EDGE_{name}": "0" for name in RATES}
COUNTED = ("events", "pageviews", "clicks", "moves", "scrolls")
EDGE = "the edge"
REFERENCES = {
    "the same edge without Kafka": ("streams.proof.bench.edge_without_kafka",),
    "an aiohttp handler with aiokafka": ("streams.proof.bench.peers.edge_aiohttp",),
    "httptools and our producer, without checks": ("streams.proof.bench.peers.edge_httptools",),
}
FEW, TARGET_PIPELINE_US = 1_000, 200
PIPELINE = ("kafka", "clickhouse")
KARAPACE = "no release of Karapace is on PyPI, and no other index or source host can be reached from here"


def edge(*, rounds: int, seconds: float = 10.0, say: Say = quiet) -> list[Row]:
    """Return the rows `edge`: acknowledged beacons per processor second of a saturated edge process.

    The references run in turns with it. The edge without Kafka and httptools without checks are upper bounds.
    """
    runs: dict[str, list[Row]] = {name: [] for name in (EDGE, *REFERENCES)}
    limits = UNLIMITED | {"PYTHONPATH": os.pathsep.join((str(httptools(CACHE)), *sys.path[1:]))}
    with own_stack(say) as stack:
        asyncio.run(prepare(settings_of(stack)))
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name, module in {EDGE: ("streams", "edge"), **REFERENCES}.items():
                with edge_process(stack, "bench-edge", limits, module=module) as process:
                    runs[name].append(_saturate(process, seconds, say, name))
        versions = stack.versions()
    detail = {**runs, "events_per_beacon": SIZE, "cores": os.cpu_count(), **versions}
    value, *bounds = (round(median(run["per_core"] for run in each)) for each in runs.values())
    return [
        *(
            row("edge", name, value, "beacons/s a core", bound, detail)
            for name, bound in zip(REFERENCES, bounds, strict=True)
        ),
        row("edge", "target: 12,000 a core", value, "beacons/s a core", TARGET_A_CORE, {}),
        row("edge", "Karapace (not run)", value, "beacons/s a core", None, {"not_run": KARAPACE}),
    ]


def edge_cost(*, rounds: int, seconds: float = 30.0, say: Say = quiet) -> list[Row]:
    """Return the rows `edge_cost`: µs of processor time of a beacon at 1,000 beacons/s, by process.

    The reference of the edge is a beacon of the same edge when it is saturated. The whole pipeline runs beside it, and
    has had the same load before: a new JVM needs twice the processor time. Raise LpstreamError if acknowledged and
    counted events differ.
    """
    saturated: list[Row] = []
    runs: list[Row] = []
    for number in range(rounds):
        with own_services(say, overrides=UNLIMITED) as (stack, services):
            child = services.children["edge"]
            for seed in (2 * number, 2 * number + 1):
                run = _connections(stack, services, Plan(services.edge_url, FEW, FEW, seconds, SIZE, seed=seed), say)
            runs.append(run)
            services.children["heatmap"].stop()
            process = EdgeProcess(services.edge_url, services.api_url, services.token, child)
            saturated.append(_saturate(process, seconds / 3, say))
    detail = {"runs": runs, "saturated": saturated}
    costs = {
        name: 1e6 * median(run["cpu"][name] / run["beacons_per_second"] for run in runs) for name in ("edge", *PIPELINE)
    }
    at_saturation = 1e6 / median(run["per_core"] for run in saturated)
    pipeline = sum(costs[name] for name in PIPELINE)
    return [
        row("edge_cost", "the edge: a beacon at saturation", costs["edge"], "µs a beacon", at_saturation, detail),
        row("edge_cost", "target: broker and ClickHouse", pipeline, "µs a beacon", TARGET_PIPELINE_US, costs),
    ]


def edge_connections(*, rounds: int, say: Say = quiet) -> list[Row]:
    """Return the rows `edge_connections`: p99 in ms with all connections open.

    The first run has only the broker and the load generator beside the edge, and lasts `rounds` minutes, because
    pauses of the garbage collector are rare. The second has the whole pipeline and lasts a third of that. Raise
    LpstreamError if acknowledged and counted events differ.
    """
    # the default limits of the public listener are per client address, so the load has many addresses
    limits = {"CLIENT_RATE": "100", "CLIENT_BYTE_RATE": "262144", "CLIENT_CONNECTIONS": "1000"}
    overrides = {f"LPSTREAM_EDGE_{name}": value for name, value in limits.items()}
    with own_services(say, overrides=overrides) as (stack, services):
        services.children["heatmap"].stop()
        alone = _connections(stack, services, _plan(services, 60.0 * rounds, seed=1), say)
        whole = _connections(stack, services, _plan(services, 20.0 * rounds, seed=2), say)
    target = f"target: p99 within {TARGET_P99_MS} ms"
    return [
        row("edge_connections", name, figures["p99"], "ms", TARGET_P99_MS, figures, digits=1)
        for name, figures in ((target, alone), (f"{target}, the whole pipeline beside it", whole))
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


def _saturate(process: EdgeProcess, seconds: float, say: Say, name: str = EDGE) -> Row:
    _load(Plan(process.url, SATURATING, 0, WARM_S, SIZE, seed=7))
    before = cpu_s(process.child.pid)
    outcome = _load(Plan(process.url, SATURATING, 0, seconds, SIZE))
    used = cpu_s(process.child.pid) - before
    if outcome.errors:
        raise LpstreamError(f"the saturated edge answered {dict(outcome.statuses)}")
    run = {
        "per_core": round(outcome.acknowledged / used),
        "beacons_per_second": round(outcome.acknowledged / outcome.seconds),
        "cores_used": round(used / outcome.seconds, 2),
        **outcome.latency(),
    }
    say(f"{name}: {run['per_core']:,} beacons/s per core")
    return run


def _load(plan: Plan, processes: int = 1) -> Outcome:
    with Generator(plan, processes) as generator:
        return generator.run()


def _measured(stack: Stack, services: Installation, plan: Plan, say: Say) -> tuple[Outcome, Row]:
    """Run the plan. Return the outcome, and the cores and memory used.

    Cores are by process, with the load generator, other programs and the machine.
    """
    edge_process = services.children["edge"]
    running = {name: child for name, child in {**services.children, **stack.processes}.items() if child.alive}
    idle_mb = edge_process.memory_mb()
    with Generator(plan, processes=2) as generator:
        open_mb = edge_process.memory_mb()
        say(f"{plan.connections:,} connections are open, {plan.rate:,.0f} beacons/s for {plan.seconds:g} s")
        before, machine = {name: cpu_s(child.pid) for name, child in running.items()}, machine_s()
        began = time.monotonic()
        outcome = generator.run()
        seconds = time.monotonic() - began
        machine = machine_s() - machine
        used = {name: cpu_s(child.pid) - before[name] for name, child in running.items()}
    cores = {**used, "load generator": outcome.cpu_s}
    cores |= {"other programs": machine - sum(cores.values()), "machine": machine}
    return outcome, {
        "cpu": {name: round(spent / seconds, 3) for name, spent in cores.items()},
        "edge_mb": {"idle": round(idle_mb), "connected": round(open_mb), "peak": round(peak_mb(edge_process.pid))},
        "mb": {name: round(child.memory_mb()) for name, child in running.items()},
    }


async def _counted(stack: Stack, events: int) -> dict[str, int]:
    """Return the sums in ClickHouse once they reach `events`, or after COUNTED_WITHIN_S."""
    clickhouse = open_analyst(settings_of(stack))
    query = f"SELECT {', '.join(f'sum({name}) AS {name}' for name in COUNTED)} FROM heatmap_windows"
    deadline = time.monotonic() + COUNTED_WITHIN_S
    try:
        while True:
            counted = (await clickhouse.rows(query))[0]
            sums = {name: int(counted[name]) for name in COUNTED}
            if sums["events"] >= events or time.monotonic() > deadline:
                return sums
            await asyncio.sleep(POLL_S)
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
        runs = generations.setdefault(generation, {"count": 0, "seconds": 0.0, "longest_below": None})
        if "_count{" in name:
            runs["count"] = int(float(value))
        elif "_sum{" in name:
            runs["seconds"] = round(float(value), 3)
        elif "_bucket{" in name:
            runs.setdefault("buckets", []).append((name.split('le="')[1].split('"')[0], float(value)))
    for runs in generations.values():
        runs["longest_below"] = next((bound for bound, seen in runs.pop("buckets", []) if seen == runs["count"]), None)
    return generations
