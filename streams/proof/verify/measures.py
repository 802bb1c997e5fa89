"""From what was seen to figures: percentiles, rates, shares, resources. Pure functions of one `Measured`."""

import itertools
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.proof.verify.capacity import capacity, ran_out
from streams.proof.verify.departures import departure_rate
from streams.proof.verify.resources import Sample
from streams.proof.verify.run import Measured

CAUSES = ("timeout", "server", "connection", "refused")
HITS = ("l1", "l2", "l3", "stale")
SERVICES = ("edge", "heatmap", "generation")
ANSWERED = ("completed", "degraded")
MICRO, MEBI = 1_000_000, 2**20
BINS = 120  # points of a plot at most

Figures = dict[str, Any]


def figures(measured: Measured) -> Figures:
    """Everything that a report says of one scenario, as plain JSON."""
    asked, seen = measured.asked, measured.seen
    seconds = max(1e-3, seen.seconds)
    found: Figures = {
        "scenario": asked.scenario.name,
        "scale": asked.scale,
        "asked": {
            "connections": asked.connections,
            "by_locust": min(asked.connections, asked.by_locust),
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
            "crowd_cores": round(measured.crowd_outcome.cpu_s / seconds, 2) if measured.crowd_outcome else None,
        },
        "faults": [{"at_s": one.at_s, "healed_s": one.healed_s, "text": one.text} for one in measured.faults],
        "problems": measured.problems,
        "series": series(measured),
    }
    found["throughput"] = throughput(found["kinds"])
    found["measures"] = measures(measured, found)
    found["ran_out"] = ran_out(found["resources"], os.cpu_count() or 1)
    found["capacity"] = capacity(asked.connections, asked.per_minute, found["resources"]["processes"])
    return found


def spread(values: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float]:
    """p50, p95, p99 (nearest rank), the largest and how many; empty without any."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not ordered.size:
        return {}
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    found = {name: float(ordered[max(0, math.ceil(share * ordered.size) - 1)]) for name, share in ranks.items()}
    return {name: round(value, 3) for name, value in found.items()} | {"count": int(ordered.size)}


def kinds(measured: Measured) -> dict[str, Figures]:
    """By kind of request: response times in ms, requests/s and bytes/s, errors by cause."""
    seen, found = measured.seen, {}
    seconds = max(1e-3, seen.seconds)
    for kind in sorted(seen.ms):
        size = seen.sent[kind] + seen.received[kind]
        found[kind] = {
            "ms": spread(seen.ms[kind]),
            "requests": int(seen.ms[kind].size),
            "per_second": round(seen.ms[kind].size / seconds, 1),
            "bytes_per_second": round(size / seconds),
            "errors": _all_causes(seen.errors.get(kind, Counter())),
        }
    if (crowd := measured.crowd_outcome) is not None:
        wrong = {name: count for name, count in crowd.statuses.items() if name != "204"}
        found["beacon, crowd"] = {
            "ms": spread(crowd.latencies),
            "requests": crowd.statuses.total(),
            "per_second": round(crowd.statuses.total() / max(1e-3, crowd.seconds), 1),
            "bytes_per_second": None,
            "errors": _all_causes(_by_cause(wrong)),
        }
    return found


def _all_causes(counts: Mapping[str, int]) -> dict[str, int]:
    return {cause: counts.get(cause, 0) for cause in CAUSES}


def _by_cause(statuses: Mapping[str, int]) -> Counter[str]:
    causes: Counter[str] = Counter()
    for name, count in statuses.items():
        status = int(name) if name.isdigit() else 0
        causes["server" if status >= 500 else "refused" if status >= 400 else "connection"] += count
    return causes


def errors(measured: Measured) -> Figures:
    """Requests that failed: in total and by cause, and their share of all requests."""
    told = kinds(measured)
    causes: Counter[str] = Counter()
    for one in told.values():
        causes.update(one["errors"])
    requests = sum(one["requests"] for one in told.values())
    total = causes.total()
    return {
        "requests": requests,
        "total": total,
        **{cause: causes[cause] for cause in CAUSES},
        "rate": round(total / requests, 5) if requests else None,
    }


def throughput(told: Mapping[str, Figures]) -> Figures:
    """All kinds together."""
    return {
        "requests_per_second": round(sum(one["per_second"] for one in told.values()), 1),
        "bytes_per_second": round(sum(one["bytes_per_second"] or 0 for one in told.values())),
    }


def lps(measured: Measured) -> Figures:
    """What became of the LPs. Waits are those of the application, from asking to having the result, s."""
    told = measured.seen.lps
    done = [one for one in told if "wait_ms" in one]
    return {
        "asked": len(told),
        "acknowledged": sum(one["asked"] for one in told),
        "answered": len(done),
        "lost": measured.lps_lost,
        "doubled": measured.lps_doubled,
        "status": dict(Counter(one["status"] for one in done)),
        "cache": dict(Counter(one["cache"] for one in done)),
        "degraded_share": round(sum(one["status"] == "degraded" for one in done) / len(done), 4) if done else None,
        "wait_s": spread([one["wait_ms"] / 1000 for one in done]),
        "own_ms": spread([one["total_ms"] - (one["provider_ms"] or 0) for one in done]),
        "cost_jpy": spread([one["cost"] / MICRO for one in done]),
    }


def events(measured: Measured) -> Figures:
    """Events acknowledged against counted, visitors' and the crowd's; None where they could not be counted."""
    parts = [one for one in (measured.visitors, measured.crowd) if one is not None]
    names = ("acknowledged", "counted", "lost", "doubled", "unresolved")
    known = measured.visitors is not None and not any("crowd" in one for one in measured.problems)
    return {name: sum(getattr(one, name) for one in parts) if known else None for name in names}


def availability(measured: Measured) -> Figures:
    """Of the probes: share answered, in all and by door, and the spans (s) in which none was."""
    told = sorted(measured.probes.answered)
    doors = sorted({door for _, door, _ in told})
    return {
        "probes": len(told),
        "share": measured.probes.availability(),
        "by_door": {door: fmean(ok for _, name, ok in told if name == door) for door in doors},
        "outages_s": outages(told),
    }


def outages(told: Sequence[tuple[float, str, bool]]) -> list[tuple[float, float]]:
    """Spans from the first failed probe to the next good one of the same door, s."""
    found = []
    for door in {name for _, name, _ in told}:
        began: float | None = None
        for at, _, ok in (one for one in told if one[1] == door):
            if not ok and began is None:
                began = at
            elif ok and began is not None:
                found.append((round(began, 1), round(at, 1)))
                began = None
        if began is not None:
            found.append((round(began, 1), round(told[-1][0], 1)))
    return sorted(found)


# -- resources ---------------------------------------------------------------------------------------------


def within(measured: Measured) -> list[Sample]:
    """Samples of the time that counts."""
    first, last = measured.span
    return [one for one in measured.watch.samples if first <= one.at <= last]


def resources(measured: Measured) -> Figures:
    """By process: cores, memory (MB of 2^20 bytes), disk and network, KB/s; and the machine's cores."""
    samples = within(measured)
    if len(samples) < 2:
        return {"processes": {}, "machine_cores": None, "other_cores": None, "cores": os.cpu_count(), "sums": None}
    first, last = samples[0], samples[-1]
    seconds = last.at - first.at
    processes: dict[str, Figures] = {}
    for name, use in last.uses.items():
        before = next(one.uses[name] for one in samples if name in one.uses)
        memory = [one.uses[name].memory / MEBI for one in samples if name in one.uses]
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
    crowd = measured.crowd_outcome.cpu_s / seconds if measured.crowd_outcome else 0.0
    others = machine - sum(one["cores"] for one in processes.values()) - crowd
    return {
        "processes": processes,
        "machine_cores": round(machine, 2),
        "other_cores": round(others, 2),
        "cores": os.cpu_count(),
        "sums": {
            "memory_mb": sum(one["memory_mb"]["peak"] for one in processes.values()),
            "disk_written_kb_s": round(sum(one["disk_kb_s"]["written"] for one in processes.values()), 1),
            "received_kb_s": round(sum(one["network_kb_s"]["received"] or 0 for one in processes.values()), 1),
            "sent_kb_s": round(sum(one["network_kb_s"]["sent"] or 0 for one in processes.values()), 1),
        },
    }


def _network(measured: Measured, name: str, way: str, seconds: float) -> float | None:
    """KB/s of a server's connections; None for a process that serves nobody."""
    mine = [told for server, told in measured.watch.network.items() if server.split(", ")[0] == name]
    return round(sum(told[way] for told in mine) / 1024 / seconds, 1) if mine else None


def memory_growth(samples: Sequence[Sample]) -> float | None:
    """Growth of the services' memory: median of the last tenth against that of the third tenth, as a share."""
    if len(samples) < 20:
        return None
    sums = [sum(one.uses[name].memory for name in SERVICES if name in one.uses) for one in samples]
    tenth = len(sums) // 10
    before, after = median(sums[2 * tenth : 3 * tenth]), median(sums[-tenth:])
    return after / before - 1 if before else None


def slowdown(at: npt.NDArray[np.float64], ms: npt.NDArray[np.float64], seconds: float) -> float | None:
    """p95 of the last third against the first's."""
    first, last = ms[at < seconds / 3], ms[at >= 2 * seconds / 3]
    if not first.size or not last.size:
        return None
    return spread(last)["p95"] / max(1.0, spread(first)["p95"])


# -- the plan's measures -----------------------------------------------------------------------------------


def measures(measured: Measured, told: Figures) -> dict[str, float | None]:
    """By the names that the scenarios' checks use; None where nothing was measured."""
    seen, waits = measured.seen, [one for one in measured.seen.lps if "wait_ms" in one]
    asked = len(seen.lps)
    in_time = sum(
        one["wait_ms"] <= measured.asked.scenario.within_s * 1000 and one["status"] in ANSWERED for one in waits
    )
    hits = [one["total_ms"] for one in waits if one["cache"] in HITS]
    misses = [one["total_ms"] for one in waits if one["cache"] == "miss"]
    connections = [count for at, count in measured.probes.connections if at <= seen.seconds]
    beacons = (seen.at.get("beacon", np.empty(0)), seen.ms.get("beacon", np.empty(0)))
    return {
        "connections": median(connections) if connections else None,
        "lps_per_minute": 60 * asked / seen.seconds if asked else None,
        "lp_in_time": in_time / asked if asked else None,
        "error_rate": told["errors"]["rate"],
        "error_count": told["errors"]["total"],
        "availability": told["availability"]["share"],
        "queryable_p99_s": told["queryable_s"].get("p99"),
        "departure_rate": departure_rate([one["wait_ms"] / 1000 for one in waits], asked - len(waits)),
        "cache_hit_rate": len(hits) / len(waits) if waits else None,
        "hit_time_cut": 1 - fmean(hits) / fmean(misses) if hits and misses else None,
        "api_cost_jpy": told["lps"]["cost_jpy"].get("max"),
        "events_lost": told["events"]["lost"],
        "events_doubled": told["events"]["doubled"],
        "lps_lost": measured.lps_lost if asked else None,
        "lps_doubled": measured.lps_doubled if asked else None,
        "memory_growth": memory_growth(within(measured)),
        "slowdown": slowdown(*beacons, seen.seconds),
    }


# -- plots -------------------------------------------------------------------------------------------------


def series(measured: Measured) -> Figures:
    """Over time, s after the start: what the plots draw, thinned to `BINS` points."""
    seen = measured.seen
    step = max(1.0, seen.seconds / BINS)
    edges = np.arange(0, max(seen.seconds, step) + step, step)
    at = np.concatenate([*seen.at.values(), np.empty(0)])
    beacon_at, beacon_ms = seen.at.get("beacon", np.empty(0)), seen.ms.get("beacon", np.empty(0))
    samples = within(measured)
    thinned = samples[:: max(1, len(samples) // BINS)]
    began = measured.span[0]
    return {
        "at": [round(float(one), 1) for one in edges[:-1]],
        "requests": _rate(at, edges, step),
        "errors": _rate(np.array(seen.error_at), edges, step),
        "beacon_p95_ms": _p95(beacon_at, beacon_ms, edges),
        "lp_wait_s": [[one["at"], round(one["wait_ms"] / 1000, 2)] for one in seen.lps if "wait_ms" in one],
        "connections": [[round(at, 1), count] for at, count in measured.probes.connections],
        "sampled_at": [round(one.at - began, 1) for one in thinned[1:]],
        "cores": {
            name: [
                round((after.uses[name].cpu_s - before.uses[name].cpu_s) / (after.at - before.at), 2)
                if name in after.uses and name in before.uses else 0.0
                for before, after in itertools.pairwise(thinned)
            ]
            for name in (samples[-1].uses if samples else ())
        },
        "memory_mb": {
            name: [round(one.uses[name].memory / MEBI) if name in one.uses else 0 for one in thinned[1:]]
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
