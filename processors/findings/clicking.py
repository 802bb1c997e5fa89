"""Looks at clicks and pointer rests: without effect, repeated, on no link, on one device only."""

from collections.abc import Collection, Iterator

from processors.findings.counts import LEAST_EVENTS, DeviceCounts, Layout, Spot
from processors.findings.estimates import Floats, rate
from processors.findings.looks import Kind, Look, Where
from processors.findings.parts import Part, part_at

# of the visitors who saw the place, and of the clicks there
DEAD_VISITORS, DEAD_CLICKS = 0.01, 0.25
RAGE_VISITORS, RAGE_CLICKS = 0.005, 0.15
REST_TIMES, REST_VISITORS, FEW_CLICKS = 2.5, 0.02, 0.05
GAP_TIMES, GAP = 2.5, 0.005


def spot_looks(counts: DeviceCounts, parts: list[Part], links: Collection[str] = ()) -> Iterator[Look]:
    """Yield the looks at the places with the most dead clicks, rage clicks and pointer rests on no link."""
    for spot, around in counts.spots:
        middle = (spot.place.from_px + spot.place.to_px) / 2
        viewers = counts.pageviews if spot.place.fixed else counts.reach(middle)
        part = part_at(parts, middle)
        where = Where.of_place(spot.place, part.name if part else None)
        if spot.place.kind == "dead_click":
            yield _useless(counts, where, spot, viewers, "dead_clicks", DEAD_VISITORS, DEAD_CLICKS)
        elif spot.place.kind == "rage_click":
            yield _useless(counts, where, spot, viewers, "rage_clicks", RAGE_VISITORS, RAGE_CLICKS)
        elif spot.place.kind == "move" and not spot.place.fixed and spot.element not in links:
            yield _rests(counts, where, spot, around, viewers)


def _useless(
    counts: DeviceCounts, where: Where, spot: Spot, viewers: Floats, kind: Kind, of_viewers: float, of_clicks: float
) -> Look:
    events, clicks = spot.of(spot.place.kind), spot.of("click", "dead_click", "rage_click")
    moments = spot.moments_of(spot.place.kind)
    shown = rate(moments, viewers)
    evidence = {
        "saw": viewers.sum(),
        "clicks": clicks.sum(),
        "dead_clicks": spot.of("dead_click").sum(),
        "rage_clicks": spot.of("rage_click").sum(),
        **_on_element(spot),
    }
    found = (shown.above(of_viewers), rate(events, clicks).above(of_clicks))
    visitors = min(moments.sum(), viewers.sum())
    return Look(kind, counts.device, where, shown, found, visitors, evidence, "per_visit", spot.element)


def _on_element(spot: Spot) -> dict[str, float]:
    return {"on_element": spot.on_element} if spot.element is not None else {}


def _rests(counts: DeviceCounts, where: Where, spot: Spot, around: Spot, viewers: Floats) -> Look:
    rests, clicks = spot.of("move"), spot.of("click")
    beside = around.of("move") - rests
    share = spot.place.size / max(1, around.place.size - spot.place.size)
    shown, usual = rate(rests, viewers), rate(beside, viewers)
    found = (shown.minus(usual, REST_TIMES * share).above(REST_VISITORS), rate(clicks, viewers).below(FEW_CLICKS))
    evidence = {"saw": viewers.sum(), "rests": rests.sum(), "usual": share * beside.sum(), "clicks": clicks.sum()}
    evidence |= _on_element(spot)
    visitors = min(rests.sum(), viewers.sum())
    kind: Kind = "attention_without_link"
    return Look(kind, counts.device, where, shown, found, visitors, evidence, "per_visit", spot.element)


def gap_looks(
    phone: DeviceCounts, desktop: DeviceCounts, parts: dict[str, list[Part]], layout: Layout
) -> Iterator[Look]:
    """Yield the looks at phone against desktop: goals, and clicks in each section.

    Nobody calls from a desktop, so calls on phones are no goals that a desktop misses.
    """
    for weak, strong in ((phone, desktop), (desktop, phone)):
        calls = strong.tel if strong is phone else 0 * strong.tel
        whole, goals = Where(None, 0, weak.size.height), strong.conversions - calls
        if goals.sum() >= LEAST_EVENTS:
            yield _gap(weak, whole, weak.conversions, weak.pageviews, goals, strong.pageviews, "goals")
        for part in parts[weak.device]:
            other = strong.sections.get(part.name)
            if other is None or (strong is phone and part.name in layout.tel_alone):
                continue
            # a page that lpstream has not made may have its links to the telephone number in each section
            clicks = other.clicks - calls if part.name in layout.tel or not layout.known else other.clicks
            if clicks.sum() >= LEAST_EVENTS:
                own = weak.sections[part.name]
                # a bar that stays on screen may take the clicks of the section's button
                used = own.clicks + weak.fixed
                yield _gap(weak, Where.of_part(part), used, own.reached, clicks, other.reached, "clicks")


def _gap(
    weak: DeviceCounts, where: Where, own: Floats, seen: Floats, other: Floats, other_seen: Floats, what: str
) -> Look:
    low, high = rate(own, seen), rate(other, other_seen)
    shown = high.minus(low)
    evidence = {
        "saw": seen.sum(),
        what: own.sum(),
        "saw_elsewhere": other_seen.sum(),
        f"{what}_elsewhere": other.sum(),
    }
    found = (high.minus(low, GAP_TIMES).above(GAP),)
    return Look("device_gap", weak.device, where, shown, found, shown.value * seen.sum(), evidence, "per_visit")
