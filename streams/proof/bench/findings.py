"""`lpstream bench --only findings`: planted faults that findings name, and sound pages.

The counts are made by the worker's own fold, and cut as `infra/clickhouse/finding_queries.py` cuts them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from infra.clickhouse.finding_queries import step_of
from processors.findings.counts import (
    STRETCHES,
    DeviceCounts,
    Layout,
    Place,
    Size,
    Tables,
    asked,
    counts_of,
    places_of,
    with_places,
)
from processors.findings.report import Finding, Report, report_of
from processors.heatmap.decode import decode
from processors.heatmap.fold import Fold
from streams.proof.bench.frame import Row, Say, row
from streams.proof.planted import Planted, habit_visits, planted, sound_pages

START_MS, SPAN_MS = 1_795_392_000_000, 7 * 86_400_000
BEACONS = 4_096
SAMPLES = (500, 5_000)
KEYS = ["device", "bucket"]


def counted(page: Planted, visits: int, seed: int) -> list[DeviceCounts]:
    """Return the counts of simulated visits within a week."""
    fold, part = Fold(), []
    for visit in habit_visits(page.model, "page", seed, visits, START_MS, SPAN_MS):
        part += [msgspec.json.encode(beacon) for beacon in visit.beacons()]
        if len(part) >= BEACONS:
            _add(fold, part)
            part = []
    _add(fold, part)
    return counts_from(fold.tables())


def _add(fold: Fold, values: list[bytes]) -> None:
    # the records are as old as their visits: no clock is corrected
    times = [msgspec.json.decode(value, type=dict[str, Any])["t0"] for value in values]
    fold.add(decode(values, times).columns)


def counts_from(rows: dict[str, pa.Table]) -> list[DeviceCounts]:
    """Return the counts of rows of the heatmap tables of one page."""
    starts = rows["heatmap_windows"]["window_start"].to_numpy().astype(np.int64)
    first, last = int(starts.min()), int(starts.max())
    cut = {name: _bucketed(table, first, step_of(first, last, STRETCHES)) for name, table in rows.items()}
    tables = Tables(
        tuple(_sizes(rows["heatmap_views"])),
        _summed(_with_goals(cut["heatmap_windows"]), KEYS, ["pageviews", "conversions", "tel"]),
        _summed(cut["heatmap_sections"], [*KEYS, "section"], ["reached", "clicks", "exposure_ms"]),
        _summed(cut["heatmap_scroll"], [*KEYS, "band"], ["reached", "exposure_ms"]),
        _summed(cut["heatmap_cells"], ["device", "kind", "fixed", "x", "y"], ["hits"]),
    )
    places = places_of(tables)
    return with_places(counts_of(tables), places, _hits(cut["heatmap_cells"], asked(places)))


def _bucketed(table: pa.Table, first: int, step: int) -> pa.Table:
    starts = table["window_start"].to_numpy().astype(np.int64)
    names = {"device", "kind", "section"} & set(table.column_names)
    for name in names:
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
    return table.append_column("bucket", pa.array((starts - first) // step))


def _with_goals(windows: pa.Table) -> pa.Table:
    pairs = zip(windows["countersMap.name"].to_pylist(), windows["countersMap.value"].to_pylist(), strict=True)
    counters = [dict(zip(names, values, strict=True)) for names, values in pairs]
    for column, name in (("conversions", "conversions"), ("tel", "goals_tel")):
        windows = windows.append_column(column, pa.array([each.get(name, 0) for each in counters], pa.int64()))
    return windows


def _summed(table: pa.Table, keys: list[str], values: list[str]) -> pa.Table:
    summed = table.group_by(keys).aggregate([(name, "sum") for name in values])
    return summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])


def _sizes(views: pa.Table) -> Iterator[Size]:
    device = np.array(views["device"].cast(pa.string()).to_pylist())
    height, fold, seen = (views[name].to_numpy().astype(np.int64) for name in ("page_h", "viewport_h", "pageviews"))
    for name in dict.fromkeys(device.tolist()):
        own = device == name
        quantiles = ((height, 0.5), (fold, 0.5), (height, 0.1))
        yield Size(name, int(seen[own].sum()), *(_quantile(values[own], seen[own], at) for values, at in quantiles))


def _quantile(values: Any, weights: Any, level: float) -> int:
    return int(np.sort(np.repeat(values, weights))[int((weights.sum() - 1) * level)])


def _hits(cells: pa.Table, places: Sequence[Place]) -> pa.Table:
    x, y, fixed = (cells[name].to_numpy().astype(np.int64) for name in ("x", "y", "fixed"))
    device = np.array(cells["device"].to_pylist())
    parts = []
    for at, place in enumerate(places):
        across = (x >= place.left) & (x <= place.right) & (fixed == place.fixed) & (device == place.device)
        inside = cells.take(np.flatnonzero(across & (y >= place.top) & (y <= place.bottom)))
        parts.append(inside.append_column("place", pa.array(np.full(inside.num_rows, at))))
    keys = ["place", "bucket", "kind"]
    hits = pa.concat_tables(parts).group_by(keys).aggregate([("hits", "sum"), ("window_start", "count_distinct")])
    return hits.rename_columns([*keys, "hits", "moments"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """A page, its report, the findings that name its fault, and the other ones."""

    page: Planted
    report: Report
    right: list[Finding]
    other: list[Finding]


def judged(page: Planted, visits: int, seed: int) -> Verdict:
    """Return the verdict on simulated visits to a page."""
    report = report_of(counted(page, visits, seed), Layout(), "en")
    right = [finding for finding in report.findings if names_fault(page, finding)]
    return Verdict(page, report, right, [finding for finding in report.findings if finding not in right])


def names_fault(page: Planted, finding: Finding) -> bool:
    """Return whether a finding names the planted fault: its kind, section and device."""
    return (
        finding.kind in page.kinds
        and page.section in (None, finding.where.section)
        and page.device in (None, finding.device)
    )


def verdicts(visits: int, seeds: Sequence[int]) -> Iterator[Verdict]:
    """Yield verdicts on the ten pages with a fault and the ten sound pages of each seed."""
    for seed in seeds:
        for at, page in enumerate((*planted(seed), *sound_pages(seed))):
            yield judged(page, visits, seed * 1_000 + at)


def findings(rounds: int, say: Say) -> list[Row]:
    """Measure how many planted faults are named, and how many sound pages are silent."""
    rows = []
    for visits in SAMPLES:
        every = []
        for verdict in verdicts(visits, range(1, rounds + 1)):
            every.append(verdict)
            say(f"{visits:,} visits, {shown(verdict)}")
        rows += _rows(visits, every)
    return rows


def _rows(visits: int, every: list[Verdict]) -> list[Row]:
    faulty = [verdict for verdict in every if verdict.page.kinds]
    quiet = [verdict for verdict in every if not verdict.page.kinds]
    found = sum(bool(verdict.right) for verdict in faulty)
    silent = sum(not verdict.other for verdict in quiet)
    names = dict.fromkeys(verdict.page.name for verdict in faulty)
    detail = {
        "found": {name: sum(bool(one.right) for one in faulty if one.page.name == name) for name in names},
        "others_on_faulty_pages": sum(len(verdict.other) for verdict in faulty),
        "findings_on_sound_pages": sum(len(verdict.other) for verdict in quiet),
    }
    return [
        row(f"findings_found_{visits}", "pages with a planted fault", found, "pages", len(faulty), detail),
        row(f"findings_silent_{visits}", "sound pages", silent, "pages", len(quiet), {}),
    ]


def shown(verdict: Verdict) -> str:
    """Return a line about a page and its findings."""
    name = verdict.page.name + (f" ({verdict.page.section})" if verdict.page.section else "")
    outcome = ("found" if verdict.right else "missed") if verdict.page.kinds else "sound"
    others = [f"{finding.kind} {finding.device} {finding.where.section}" for finding in verdict.other]
    return f"{name}: {outcome}" + (f"; also {', '.join(others)}" if others else "")
