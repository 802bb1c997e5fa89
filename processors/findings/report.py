"""The report: findings that their intervals support, and how many more visits a small sample needs."""

import math
from typing import Any

import msgspec
import numpy as np

from processors.findings.clicking import gap_looks, spot_looks
from processors.findings.counts import LEAST_EVENTS, DeviceCounts, Layout
from processors.findings.estimates import MOST, bound, visits_to_see
from processors.findings.looks import CHANGES, Kind, Look, Where
from processors.findings.parts import parts_of
from processors.findings.reading import depth_looks, section_looks
from processors.findings.words import advice, brief, sentence, summary
from processors.pictures.words import Language
from schemas.generation import Change

# Share of the affected visits that a finding may cost. Findings are sorted by this weight times their visits.
WEIGHTS: dict[Kind, float] = {
    "dead_clicks": 1.0,
    "section_left": 1.0,
    "device_gap": 1.0,
    "rage_clicks": 0.7,
    "first_view_without_call": 0.3,
    "call_too_low": 0.3,
    "sought_too_low": 0.2,
    "attention_without_link": 0.2,
    "read_not_clicked": 0.1,
    "page_too_long": 0.1,
}
MOST_FINDINGS, MOST_UNSURE = 20, 3
FIXED = ("hero", "closing", "form", "footer")  # sections that keep their place
LEAST_DEVICE = 50  # pageviews; devices with fewer are left out
# a fault that concerns this share of the visits should be found; the floor is that of dead clicks
TYPICAL, FLOOR = 0.05, 0.01


class Suggestion(msgspec.Struct, frozen=True):
    """The change that a variant should make, and its sections (empty: any).

    Sections of an `order` are in their new order.
    `brief` describes the finding and the advice for a model. It has no name that a beacon chose.
    """

    change: Change
    sections: list[str]
    text: str
    brief: str


class Finding(msgspec.Struct, frozen=True):
    """A finding. `estimate` is between `low` and `high`, in `unit`.

    All intervals of a report hold at the same time. `element` names the element that visitors click there, if it is
    clear. `visitors` are the affected visits in the range, `share` their part of the device's visits.
    """

    kind: Kind
    device: str
    where: Where
    element: str | None
    text: str
    suggestion: Suggestion
    visitors: int
    share: float
    estimate: float
    low: float
    high: float
    unit: str
    evidence: dict[str, float]


class Unsure(msgspec.Struct, frozen=True):
    """A place that may become a finding, and how many more visits would decide."""

    kind: Kind
    device: str
    where: Where
    more_visits: int


class Report(msgspec.Struct, frozen=True):
    """The findings, the heaviest first.

    `more_visits` is the number of visits that are still needed to detect a fault of 5 % of the visits; 0: enough.
    Without a finding, it is at least the number for the nearest unsure place, if that is at most the visits so far.
    """

    visits: int
    more_visits: int
    looks: int
    text: str
    findings: list[Finding]
    unsure: list[Unsure]


def report_of(counts: list[DeviceCounts], layout: Layout, language: Language) -> Report:
    """Return the report on a page's counts."""
    visits = sum(device.size.pageviews for device in counts)
    many = [device for device in counts if device.pageviews.sum() >= LEAST_DEVICE]
    looks = looks_of(many, layout)
    stretches = np.count_nonzero(sum(device.pageviews for device in counts)) if counts else 0
    z = bound(len(looks), int(stretches))
    supported = _distinct([look for look in looks if look.supported(z)])
    findings = [_finding(look, z, many, layout, language) for look in supported[:MOST_FINDINGS]]
    unsure = _unsure([look for look in looks if not look.supported(z)], z, visits)
    soon = [one.more_visits for one in unsure if one.more_visits <= visits and not findings]
    more = max(_more(counts, visits, z), min(soon, default=0))
    return Report(visits, more, len(looks), summary(len(findings), visits, more, language), findings, unsure)


def looks_of(counts: list[DeviceCounts], layout: Layout) -> list[Look]:
    """Return every look at the page."""
    looks: list[Look] = []
    parts = {device.device: parts_of(device, layout) for device in counts}
    for device in counts:
        looks += section_looks(device, parts[device.device])
        looks += depth_looks(device, parts[device.device], layout)
        looks += spot_looks(device, parts[device.device], layout.links)
    by_name = {device.device: device for device in counts}
    if "mobile" in by_name and "desktop" in by_name:
        looks += gap_looks(by_name["mobile"], by_name["desktop"], parts, layout)
    return looks


def _distinct(looks: list[Look]) -> list[Look]:
    """Return the looks in order, without the looks that a heavier look explains.

    Clicks and rests on one place have one cause, and visitors cannot use a dead button above.
    """
    spots = ("dead_clicks", "rage_clicks", "attention_without_link")
    calls = ("first_view_without_call", "call_too_low")
    broken = {(look.device, look.where.from_px) for look in looks if look.kind == "dead_clicks"}
    distinct: list[Look] = []
    for look in sorted(looks, key=lambda look: -WEIGHTS[look.kind] * look.visitors):
        rivals = (one for one in distinct if one.kind in spots and one.device == look.device)
        above = (px for device, px in broken if device == look.device and px < look.where.from_px)
        if look.kind in spots and any(one.where.overlaps(look.where) for one in rivals):
            continue
        if any(_reads_longer(one, look) for one in looks):
            continue
        if look.kind not in calls or next(above, None) is None:
            distinct.append(look)
    return distinct


def _reads_longer(other: Look, look: Look) -> bool:
    """Return whether the neighbouring section is read for longer.

    This section was then in view with it.
    """
    beside = other.where.to_px == look.where.from_px or other.where.from_px == look.where.to_px
    same = (other.kind, other.device) == (look.kind, look.device)
    return beside and same and other.evidence.get("seconds", 0) > look.evidence.get("seconds", 0)


def _finding(look: Look, z: float, counts: list[DeviceCounts], layout: Layout, language: Language) -> Finding:
    pageviews = next(device.size.pageviews for device in counts if device.device == look.device)
    unit = 1_000 if look.unit == "seconds" else 1
    value, (low, high) = look.shown.value / unit, (side / unit for side in look.shown.interval(z))
    low, high = max(0.0, low), min(1.0, high) if look.unit == "share" else high
    visitors = max(1, round(look.visitors))
    sections = [look.where.section] if look.where.section else []
    if CHANGES[look.kind] == "order":
        sections = _moved_up(look.where.section, layout)
    return Finding(
        look.kind,
        look.device,
        look.where,
        look.element,
        sentence(look, language),
        Suggestion(CHANGES[look.kind], sections, advice(look, language), brief(look, language)),
        visitors,
        _rounded(min(1.0, visitors / max(1, pageviews))),
        _rounded(value),
        _rounded(low),
        _rounded(high),
        look.unit,
        {name: _rounded(number if number < 10 else round(number)) for name, number in look.evidence.items()},
    )


def _moved_up(section: str | None, layout: Layout) -> list[str]:
    """Return the sections down to this one, with it first; none if it cannot move up."""
    movable = [name for name in dict.fromkeys(layout.sections) if name not in FIXED]
    above = movable[: movable.index(section)] if section in movable else []
    return [section, *above] if section is not None and above else []


def _rounded(number: float) -> Any:
    return int(number) if float(number).is_integer() else round(float(number), 4)


def _more(counts: list[DeviceCounts], visits: int, z: float) -> int:
    """Return how many more visits a fault of one visit in twenty needs on the most used device."""
    share = max((device.size.pageviews for device in counts), default=0) / visits if visits else 1.0
    needed = max(visits_to_see(TYPICAL, FLOOR, z), LEAST_EVENTS / TYPICAL)
    return max(0, math.ceil(needed / share) - visits)


def _unsure(looks: list[Look], z: float, visits: int) -> list[Unsure]:
    factors = sorted(((look.factor(z), at) for at, look in enumerate(looks)))
    return [
        Unsure(looks[at].kind, looks[at].device, looks[at].where, max(1, math.ceil(visits * (factor - 1))))
        for factor, at in factors[:MOST_UNSURE]
        if visits * factor < MOST
    ]
