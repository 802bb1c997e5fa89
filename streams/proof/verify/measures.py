"""The figures of a run: percentiles, rates, shares, resources. Pure functions of a `Measured`."""

import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.proof.percentiles import Values
from streams.proof.percentiles import spread as percentiles
from streams.proof.verify.capacity import capacity, ran_out
from streams.proof.verify.departures import departure_rate
from streams.proof.verify.resources import Sample
from streams.proof.verify.run import Measured

CAUSES = ("timeout", "server", "connection", "refused")
HITS = ("l1", "l2", "l3", "stale")
SERVICES = ("edge", "heatmap", "generation")
ANSWERED = ("completed", "degraded")
MICRO, MEBI = 1_000_000, 2**20
BINS = 120  # most points of a plot

Figures = dict[str, Any]


def figures(measured: Measured) -> Figures:
    """Return all figures of a scenario as JSON values, for the report."""
    asked, seen = measured.asked, measured.seen
    seconds = max(1e-3, seen.seconds)
    values: Figures = {
        "scenario": asked.scenario.name,
        "scale": asked.scale,
        "asked": {
            "connections": asked.connections,
            "by_locust": asked.connections if asked.by_locust else 0,
            "per_minute": asked.per_minute,
            "seconds": asked.seconds,
            "ramp_s": asked.ramp_s,
            "seed": asked.seed,
        },
        "seconds": round(seconds, 1),
        "interrupted": measured.interrupted,
        "kinds": kinds(measured),
        "errors": errors(measured),
        "lps": lps(measured),
        "events": events(measured),
        "queryable_s": spread(measured.probes.delays_s()),
        "availability": availability(measured),
        "resources": resources(measured),
        "generator": {
            "cores": round(seen.cpu_s / seconds, 2),
            "late_ms": spread(seen.late_ms),
        },
        "faults": [{"at_s": fault.at_s, "healed_s": fault.healed_s, "text": fault.text} for fault in measured.faults],
        "problems": measured.problems,
        "series": series(measured),
    }
    values["throughput"] = throughput(values["kinds"])
    values["measures"] = measures(measured, values)
    values["ran_out"] = ran_out(values["resources"], os.cpu_count() or 1)
    values["capacity"] = capacity(asked.connections, asked.per_minute, values["resources"]["processes"])
    return values


def spread(values: Values) -> dict[str, float]:
    """Return the percentiles 50, 95 and 99, the maximum and the count, or {} without values."""
    return percentiles(values, 3) | {"count": len(values)} if len(values) else {}


def kinds(measured: Measured) -> dict[str, Figures]:
    """Return response times in ms, requests/s, bytes/s and errors by cause, for each kind of request."""
    seen, by_kind = measured.seen, {}
    seconds = max(1e-3, seen.seconds)
    for kind in sorted(seen.ms):
        size = seen.sent[kind] + seen.received[kind]
        by_kind[kind] = {
            "ms": spread(seen.ms[kind]),
            "requests": int(seen.ms[kind].size),
            "per_second": round(seen.ms[kind].size / seconds, 1),
            "bytes_per_second": round(size / seconds),
            "errors": {cause: seen.errors[kind][cause] for cause in CAUSES},
        }
    return by_kind


def errors(measured: Measured) -> Figures:
    """Return the number of failed requests, in total and by cause, and their share of all requests."""
    by_kind = kinds(measured)
    causes: Counter[str] = Counter()
    for kind in by_kind.values():
        causes.update(kind["errors"])
    requests = sum(kind["requests"] for kind in by_kind.values())
    total = causes.total()
    return {
        "requests": requests,
        "total": total,
        **{cause: causes[cause] for cause in CAUSES},
        "rate": round(total / requests, 5) if requests else None,
    }


def throughput(by_kind: Mapping[str, Figures]) -> Figures:
    """Return the requests/s and bytes/s of all kinds together."""
    return {
        "requests_per_second": round(sum(kind["per_second"] for kind in by_kind.values()), 1),
        "bytes_per_second": round(sum(kind["bytes_per_second"] for kind in by_kind.values())),
    }


def lps(measured: Measured) -> Figures:
    """Return the counts, waits and costs of the LPs.

    A wait is the application's time from the request to the result, in seconds.
    """
    requested = measured.seen.lps
    done = [lp for lp in requested if "wait_ms" in lp]
    return {
        "asked": len(requested),
        "acknowledged": sum(lp["asked"] for lp in requested),
        "answered": len(done),
        "lost": measured.lps_lost,
        "doubled": measured.lps_doubled,
        "status": dict(Counter(lp["status"] for lp in done)),
        "cache": dict(Counter(lp["cache"] for lp in done)),
        "degraded_share": round(sum(lp["status"] == "degraded" for lp in done) / len(done), 4) if done else None,
        "wait_s": spread([lp["wait_ms"] / 1000 for lp in done]),
        "own_ms": spread([lp["total_ms"] - (lp["provider_ms"] or 0) for lp in done]),
        "cost_jpy": spread([lp["cost"] / MICRO for lp in done]),
    }


def events(measured: Measured) -> Figures:
    """Return how many events were acknowledged and how many were counted, or None without a count."""
    names = ("acknowledged", "counted", "lost", "doubled", "unresolved")
    return {name: getattr(measured.events, name, None) for name in names}


def availability(measured: Measured) -> Figures:
    """Return the share of answered probes, in total and by door, and the outages in seconds."""
    probes = sorted(measured.probes.answered)
    doors = sorted({door for _, door, _ in probes})
    return {
        "probes": len(probes),
        "share": measured.probes.availability(),
        "by_door": {door: fmean(ok for _, name, ok in probes if name == door) for door in doors},
        "outages_s": outages(probes),
    }


def outages(probes: Sequence[tuple[float, str, bool]]) -> list[tuple[float, float]]:
    """Return the outages of each door: from a failed probe to the next answered probe (s)."""
    spans = []
    for door in {name for _, name, _ in probes}:
        began: float | None = None
        for at, _, ok in (probe for probe in probes if probe[1] == door):
            if not ok and began is None:
                began = at
            elif ok and began is not None:
                spans.append((round(began, 1), round(at, 1)))
                began = None
        if began is not None:
            spans.append((round(began, 1), round(probes[-1][0], 1)))
    return sorted(spans)


# -- resources ---------------------------------------------------------------------------------------------


def within(measured: Measured) -> list[Sample]:
    """Return the samples that were taken while the load was measured."""
    first, last = measured.span
    return [sample for sample in measured.watch.samples if first <= sample.at <= last]


def resources(measured: Measured) -> Figures:
    """Return cores, memory (MB of 2^20 bytes), disk and network (KB/s) by process, and machine cores."""
    samples = within(measured)
    if len(samples) < 2:
        return {"processes": {}, "machine_cores": None, "other_cores": None, "cores": os.cpu_count(), "sums": None}
    first, last = samples[0], samples[-1]
    seconds = last.at - first.at
    processes: dict[str, Figures] = {}
    for name, use in last.uses.items():
        before = next(sample.uses[name] for sample in samples if name in sample.uses)
        memory = [sample.uses[name].memory / MEBI for sample in samples if name in sample.uses]
        processes[name] = {
            "cores": round((use.cpu_s - before.cpu_s) / seconds, 3),
            "memory_mb": {"first": round(memory[0]), "last": round(memory[-1]), "peak": round(max(memory))},
            "disk_kb_s": {
                "read": round((use.disk_read - before.disk_read) / 1024 / seconds, 1),
                "written": round((use.disk_written - before.disk_written) / 1024 / seconds, 1),
            },
            "network_kb_s": {way: _network(measured, name, way, seconds) for way in ("received", "sent")},
        }
    machine = (last.machine_s - first.machine_s) / seconds
    others = machine - sum(process["cores"] for process in processes.values())
    return {
        "processes": processes,
        "machine_cores": round(machine, 2),
        "other_cores": round(others, 2),
        "cores": os.cpu_count(),
        "sums": {
            "memory_mb": sum(process["memory_mb"]["peak"] for process in processes.values()),
            "disk_written_kb_s": round(sum(process["disk_kb_s"]["written"] for process in processes.values()), 1),
            "received_kb_s": round(sum(process["network_kb_s"]["received"] or 0 for process in processes.values()), 1),
            "sent_kb_s": round(sum(process["network_kb_s"]["sent"] or 0 for process in processes.values()), 1),
        },
    }


def _network(measured: Measured, name: str, way: str, seconds: float) -> float | None:
    """Return the network traffic of a server process in KB/s, or None for other processes."""
    counts = [count for server, count in measured.watch.network.items() if server.split(", ")[0] == name]
    return round(sum(count[way] for count in counts) / 1024 / seconds, 1) if counts else None


def memory_growth(samples: Sequence[Sample]) -> float | None:
    """Return the relative growth of the services' memory, or None with fewer than 20 samples.

    It compares the median of the last tenth of the samples with the median of the third tenth.
    """
    if len(samples) < 20:
        return None
    sums = [sum(sample.uses[name].memory for name in SERVICES if name in sample.uses) for sample in samples]
    tenth = len(sums) // 10
    before, after = median(sums[2 * tenth : 3 * tenth]), median(sums[-tenth:])
    return after / before - 1 if before else None


def slowdown(at: npt.NDArray[np.float64], ms: npt.NDArray[np.float64], seconds: float) -> float | None:
    """Return the p95 of the last third of the time divided by the p95 of the first third."""
    first, last = ms[at < seconds / 3], ms[at >= 2 * seconds / 3]
    if not first.size or not last.size:
        return None
    return spread(last)["p95"] / max(1.0, spread(first)["p95"])


# -- measures of the plan ----------------------------------------------------------------------------------


def measures(measured: Measured, values: Figures) -> dict[str, float | None]:
    """Return a value for each measure that a check names, or None if it was not measured."""
    seen, answered = measured.seen, [lp for lp in measured.seen.lps if "wait_ms" in lp]
    asked = len(seen.lps)
    in_time = sum(
        lp["wait_ms"] <= measured.asked.scenario.within_s * 1000 and lp["status"] in ANSWERED for lp in answered
    )
    hits = [lp["total_ms"] for lp in answered if lp["cache"] in HITS]
    misses = [lp["total_ms"] for lp in answered if lp["cache"] == "miss"]
    connections = [count for at, count in measured.probes.connections if at <= seen.seconds]
    beacons = (seen.at.get("beacon", np.empty(0)), seen.ms.get("beacon", np.empty(0)))
    return {
        "connections": median(connections) if connections else None,
        "lps_per_minute": 60 * asked / seen.seconds if asked else None,
        "lp_in_time": in_time / asked if asked else None,
        "error_rate": values["errors"]["rate"],
        "error_count": values["errors"]["total"],
        "availability": values["availability"]["share"],
        "queryable_p99_s": values["queryable_s"].get("p99"),
        "departure_rate": departure_rate([lp["wait_ms"] / 1000 for lp in answered], asked - len(answered)),
        "cache_hit_rate": len(hits) / len(answered) if answered else None,
        "hit_time_cut": 1 - fmean(hits) / fmean(misses) if hits and misses else None,
        "api_cost_jpy": values["lps"]["cost_jpy"].get("max"),
        "events_lost": values["events"]["lost"],
        "events_doubled": values["events"]["doubled"],
        "lps_lost": measured.lps_lost if asked else None,
        "lps_doubled": measured.lps_doubled if asked else None,
        "memory_growth": memory_growth(within(measured)),
        "slowdown": slowdown(*beacons, seen.seconds),
    }


# -- plots -------------------------------------------------------------------------------------------------


def series(measured: Measured) -> Figures:
    """Return the series for the plots, by seconds after the start, thinned to `BINS` points."""
    seen = measured.seen
    step = max(1.0, seen.seconds / BINS)
    edges = np.arange(0, max(seen.seconds, step) + step, step)
    at = np.concatenate([*seen.at.values(), np.empty(0)])
    beacon_at, beacon_ms = seen.at.get("beacon", np.empty(0)), seen.ms.get("beacon", np.empty(0))
    samples = within(measured)
    thinned = samples[:: max(1, len(samples) // BINS)]
    began = measured.span[0]
    return {
        "at": [round(float(edge), 1) for edge in edges[:-1]],
        "requests": _rate(at, edges, step),
        "errors": _rate(np.array(seen.error_at), edges, step),
        "beacon_p95_ms": _p95(beacon_at, beacon_ms, edges),
        "lp_wait_s": [[lp["at"], round(lp["wait_ms"] / 1000, 2)] for lp in seen.lps if "wait_ms" in lp],
        "connections": [[round(at, 1), count] for at, count in measured.probes.connections],
        "sampled_at": [round(sample.at - began, 1) for sample in thinned[1:]],
        "cores": {
            name: [
                round((after.uses[name].cpu_s - before.uses[name].cpu_s) / (after.at - before.at), 2)
                if name in after.uses and name in before.uses else 0.0
                for before, after in itertools.pairwise(thinned)
            ]
            for name in (samples[-1].uses if samples else ())
        },
        "memory_mb": {
            name: [round(sample.uses[name].memory / MEBI) if name in sample.uses else 0 for sample in thinned[1:]]
            for name in (samples[-1].uses if samples else ())
        },
    }  # fmt: skip


def _rate(at: npt.NDArray[np.float64], edges: npt.NDArray[np.float64], step: float) -> list[float]:
    return [round(float(count) / step, 1) for count in np.histogram(at, edges)[0]]


def _p95(
    at: npt.NDArray[np.float64], ms: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]
) -> list[float | None]:
    bins = np.digitize(at, edges) - 1
    return [spread(ms[bins == number]).get("p95") for number in range(len(edges) - 1)]
