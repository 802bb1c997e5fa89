"""`lpstream bench --only lp_total,lp_own,lp_mix,lp_cpu`: pages by one worker, with copy of 3 s.

`lp_total` and `lp_own` come from the same run, which cannot hit the cache. `lp_mix` is the request mix after warming.
`lp_cpu` sends the same requests twice: each is a miss, then a hit.
Each pace lasts a minute, after a few requests that are not counted.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import fmean

from streams.generation.mix import Pattern
from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.bench.pages_lab import Flow, PagesLab, cold, mixed, pages_lab
from streams.proof.orders import Answer
from streams.proof.percentiles import percentile, spread
from streams.proof.provider.remote import warm
from streams.proof.provider.script import AT_ONCE, COPY_3_S

# by requests per minute: the share (%) that must be answered, and within how many ms
TARGETS = {100: (95, 6_000), 500: (95, 10_000), 1_000: (90, 15_000)}
OWN_MS = {"p50": 300, "p99": 1_000}
CPU_PACE, CPU_MS = 500, {"miss": 20, "hit": 4}
FEW, FEW_A_MINUTE = 20, 300.0
WARMED = 800
HITS = ("l1", "l2", "l3", "stale")
LEAST_HITS, LEAST_CUT = 0.6, 0.8

Draw = Callable[[int], Sequence[Pattern]]


def total(*, rounds: int, say: Say = quiet, seconds: float = 60.0) -> list[Row]:
    """Return a row `lp_total` for each pace: the target's percentile in ms. `rounds` has no effect."""
    flows = _cold(say, seconds)
    return [_percentile("lp_total", pace, flow, "cold cache") for pace, flow in flows.items()]


def own(*, rounds: int, say: Say = quiet, seconds: float = 60.0) -> list[Row]:
    """Return two rows `lp_own` for each pace, from the run of `lp_total`.

    The values are p50 and p99 of the time without the provider's, in ms.
    """
    rows = []
    for pace, flow in _cold(say, seconds).items():
        figures = flow.figures()
        for name, target in OWN_MS.items():
            reference = f"target: {name} within {target} ms at {pace:,} a minute, cold cache"
            rows.append(row("lp_own", reference, figures["own_ms"][name], "ms", target, figures, ratio_digits=3))
    return rows


def mix(*, rounds: int, say: Say = quiet, seconds: float = 60.0) -> list[Row]:
    """Return the rows `lp_mix`: as `lp_total`, then the share of hits and their cut of the mean time."""
    with pages_lab(say, COPY_3_S) as place:
        place.provider.play(AT_ONCE)  # the warming is not measured
        say(f"warming {WARMED} patterns")
        warmed = asyncio.run(warm(place.settings, WARMED)).as_dict()
        with place.worker():
            place.provider.play(COPY_3_S)
            flows = _flows(place, seconds, lambda count: mixed(count, seed=count), say)
    rows = [_percentile("lp_mix", pace, flow, "request mix") for pace, flow in flows.items()]
    answers = [answer for flow in flows.values() for answer in flow.answers]
    hit, miss = _by_cache(answers)
    detail = {
        "warmed": warmed,
        "hit_ms": {"mean": round(fmean(hit)), **spread(hit)},
        "miss_ms": {"mean": round(fmean(miss)), **spread(miss)},
        "lookup_ms": _lookups(answers),
    }
    shares = (
        ("target: hits", len(hit) / len(answers), LEAST_HITS),
        ("target: mean time cut on hits", 1 - fmean(hit) / fmean(miss), LEAST_CUT),
    )
    for name, share, target in shares:
        rows.append(row("lp_mix", name, share, "share", target, detail, digits=4, ratio_digits=3))
    return rows


def processor(*, rounds: int, say: Say = quiet, seconds: float = 60.0) -> list[Row]:
    """Return the rows `lp_cpu`: the worker's processor time a page in ms, for misses and for hits."""
    with pages_lab(say, COPY_3_S) as place, place.worker():
        place.flow(cold(FEW), FEW_A_MINUTE)
        patterns = cold(round(CPU_PACE * seconds / 60))
        rows = []
        for name, target in CPU_MS.items():
            say(f"{CPU_PACE} requests a minute for {seconds:g} s, each a {name}")
            flow = place.flow(patterns, CPU_PACE)
            value = 1000 * flow.cpu_s["generation"] / len(patterns)
            reference = f"target: {target} ms a {name} at {CPU_PACE} a minute"
            rows.append(row("lp_cpu", reference, value, "ms", target, flow.figures(), digits=1))
    return rows


@lru_cache(maxsize=1)
def _cold(say: Say, seconds: float) -> dict[int, Flow]:
    with pages_lab(say, COPY_3_S) as place, place.worker():
        return _flows(place, seconds, cold, say)


def _flows(place: PagesLab, seconds: float, draw: Draw, say: Say) -> dict[int, Flow]:
    """Return the flows by pace. A few requests before them open connections and warm up the worker."""
    place.flow(cold(FEW), FEW_A_MINUTE)
    flows = {}
    for pace in TARGETS:
        say(f"{pace:,} requests a minute for {seconds:g} s")
        flows[pace] = place.flow(draw(round(pace * seconds / 60)), pace)
    return flows


def _by_cache(answers: Sequence[Answer]) -> tuple[list[int], list[int]]:
    """Return the total times in ms of cache hits and of cache misses."""
    hit = [answer.total_ms for answer in answers if answer.result["cache"] in HITS]
    return hit, [answer.total_ms for answer in answers if answer.result["cache"] == "miss"]


def _lookups(answers: Sequence[Answer]) -> dict[str, dict[str, float]]:
    """Return the lookup times under load in ms, by cache layer."""
    by_layer: dict[str, list[int]] = {}
    for answer in answers:
        by_layer.setdefault(answer.result["cache"], []).append(answer.result["timings_ms"]["cache"] or 0)
    return {layer: spread(times) for layer, times in sorted(by_layer.items())}


def _percentile(name: str, pace: int, flow: Flow, cache: str) -> Row:
    share, target = TARGETS[pace]
    value = percentile([answer.total_ms for answer in flow.answers], share)
    reference = f"target: {share} % within {target / 1000:g} s at {pace:,} a minute, {cache}"
    return row(name, reference, value, "ms", target, flow.figures(), ratio_digits=3)
