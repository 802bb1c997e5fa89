"""Looks at how a page is read: sections, depth, and calls to action."""

from collections.abc import Iterator

import numpy as np

from processors.findings.counts import DeviceCounts, Layout, Spot
from processors.findings.estimates import Claim, Floats, mean, rate
from processors.findings.looks import Look, Where
from processors.findings.parts import Part
from processors.pictures.heat import BAND_H, CELL_H

# The thresholds leave room for habits on sound pages: visitors leave everywhere, and some texts take longer.
LEFT_TIMES, LEFT_SHARE = 1.8, 0.03
LONG_TIMES, LONG_MS = 1.5, 3_000
FEW_CLICKS = 0.05
MOST_VISITORS = 0.5
LEAST_PART_PX, NEIGHBOURS = 100, 2
LEAST_VISITORS = 30  # a section that fewer reached cannot become a finding
CALL_CLICKS, FIRST_CLICKS, LOST = 0.04, 0.03, 0.05
CALL_ERRORS = 3.0
SCREENS, HALF_SEEN = 5, 0.2
MS = 1_000


def section_looks(counts: DeviceCounts, parts: list[Part]) -> Iterator[Look]:
    """Yield the looks at each section: leaving, long reading, and low places of sought sections."""
    yield from _leaving(counts, parts)
    lines = [_line(counts, part) for part in parts]
    for at, part in enumerate(parts):
        seen = counts.sections[part.name].reached.sum() >= LEAST_VISITORS
        if at and seen and len(parts) > NEIGHBOURS and part.bottom - part.top >= LEAST_PART_PX:
            yield from _reading(counts, parts, lines, at)


def _leaving(counts: DeviceCounts, parts: list[Part]) -> Iterator[Look]:
    """Yield a look at each inner section. It compares the visitors who leave there and around it.

    A visitor looks at the middle of the screen, so a section is left while it is there. At the end of the page nobody
    can go on, and the first view is left for other reasons.
    """
    half = counts.size.fold / 2
    inner = [
        part for part in parts if part.bottom + half < counts.size.least_height and part.bottom - part.top >= BAND_H
    ]
    spans = [_span(counts, part, half) for part in inner]
    for at, part in enumerate(inner):
        near = [spans[other] for other in range(max(0, at - 2), min(len(inner), at + 3)) if other != at]
        seen, left, length = spans[at]
        if at == 0 or len(near) < NEIGHBOURS or seen.sum() < LEAST_VISITORS:
            continue
        around = rate(*(np.sum([span[column] for span in near], axis=0) for column in (1, 2)))
        usual = float(length.sum() / seen.sum())
        # visitors who click may leave because they go where the button leads
        own = rate(left - counts.sections[part.name].clicks, seen)
        yield Look(
            "section_left",
            counts.device,
            Where.of_part(part),
            rate(left, seen),
            (own.minus(around, LEFT_TIMES * usual).above(LEFT_SHARE),),
            left.sum() - around.value * length.sum(),
            {"saw": seen.sum(), "left": left.sum(), "usual": around.value * length.sum()},
        )


def _span(counts: DeviceCounts, part: Part, half: float) -> tuple[Floats, Floats, Floats]:
    """Return the visitors who saw a section, those who left in it, and the sum of visitors by band.

    A band is 100 px high.
    """
    seen, after = counts.reach(part.top + half), counts.reach(part.bottom + half)
    points = np.arange(part.top + half, part.bottom + half, BAND_H / 2)
    length = np.mean([counts.reach(px) for px in points], axis=0) * (part.bottom - part.top) / BAND_H
    return seen, seen - after, length


def _line(counts: DeviceCounts, part: Part) -> tuple[Floats, Floats]:
    """Return the ms in view and the visitors of a section, both summed over its bands of 100 px."""
    first = -(-part.top // BAND_H)
    last = max(first + 1, part.bottom // BAND_H)
    return counts.exposure[first:last].sum(axis=0), counts.reached[first:last].sum(axis=0)


def _reading(counts: DeviceCounts, parts: list[Part], lines: list[tuple[Floats, Floats]], at: int) -> Iterator[Look]:
    own = mean(*lines[at])
    beside = [line for other, line in enumerate(lines) if other != at]
    others = mean(*(np.sum([line[column] for line in beside], axis=0) for column in (0, 1)))
    section = counts.sections[parts[at].name]
    long = (own.minus(others, LONG_TIMES).above(0), own.above(LONG_MS))
    evidence = {"saw": section.reached.sum(), "seconds": own.value / MS, "usual": others.value / MS}
    evidence["clicks"] = section.clicks.sum()
    reached = section.reached.sum()
    clicked = rate(section.clicks, section.reached)
    where, of = Where.of_part(parts[at]), counts.device
    few = clicked.below(FEW_CLICKS)
    yield Look("read_not_clicked", of, where, own, (*long, few), reached, evidence, "seconds")
    seen = rate(section.reached, counts.pageviews)
    missed = counts.pageviews.sum() - reached
    yield Look("sought_too_low", of, where, seen, (*long, seen.below(MOST_VISITORS)), missed, evidence)


def depth_looks(counts: DeviceCounts, parts: list[Part], layout: Layout) -> Iterator[Look]:
    """Yield the looks at the page's depth: its length, and the place of the first call to action."""
    height, fold = counts.size.height, counts.size.fold
    if height >= SCREENS * fold:
        half = counts.reach(height / 2)
        seen = rate(half, counts.pageviews)
        where = Where(None, height // 2, height)
        missed = counts.pageviews.sum() - half.sum()
        evidence = {"screens": height / fold, "visits": counts.pageviews.sum(), "saw": half.sum()}
        yield Look("page_too_long", counts.device, where, seen, (seen.below(HALF_SEEN),), missed, evidence)
    if layout.known:
        yield from _known_calls(counts, parts, layout)
    else:
        yield from _likely_calls(counts, parts)


def _known_calls(counts: DeviceCounts, parts: list[Part], layout: Layout) -> Iterator[Look]:
    stays = layout.top or (layout.bar and counts.device != "desktop")
    part = next((part for part in parts if part.name in layout.calls), None)
    if part is None or stays or part.top < counts.size.fold:
        return
    yield from _call_looks(counts, Where.of_part(part), counts.sections[part.name].reached, ())


def _likely_calls(counts: DeviceCounts, parts: list[Part]) -> Iterator[Look]:
    """Yield looks at the first section, or the first place, that a large share of its visitors click."""
    places = [
        (Where.of_part(part), px, counts.sections[part.name].clicks, counts.sections[part.name].reached)
        for part in parts
        if (px := _clicked_px(counts, part)) is not None
    ]
    if not parts:
        spots = [spot for spot, _ in counts.spots if spot.place.kind == "click" and not spot.place.fixed]
        places = [
            (Where.of_place(spot.place, None), spot.place.from_px, spot.of("click"), _viewers(counts, spot))
            for spot in spots
        ]
        places.sort(key=lambda place: place[1])
    called = ((where, px) for where, px, *figures in places if px >= counts.size.fold and _is_call(*figures))
    if (first := next(called, None)) is not None:
        few = rate(counts.first_view + counts.fixed, counts.pageviews).below(FIRST_CLICKS)
        yield from _call_looks(counts, first[0], counts.reach(first[1]), (few,))


def _clicked_px(counts: DeviceCounts, part: Part) -> int | None:
    """Return the page pixel above which half of a section's clicks are. Return None without clicks."""
    first = part.top // CELL_H
    clicks = np.cumsum(counts.row_clicks[first : part.bottom // CELL_H])
    return int(first + np.searchsorted(clicks, clicks[-1] / 2)) * CELL_H if len(clicks) and clicks[-1] else None


def _is_call(clicks: Floats, reached: Floats) -> bool:
    often = rate(clicks, reached).above(CALL_CLICKS)
    return bool(reached.sum() >= LEAST_VISITORS) and often.errors > CALL_ERRORS


def _viewers(counts: DeviceCounts, spot: Spot) -> Floats:
    return counts.reach((spot.place.from_px + spot.place.to_px) / 2)


def _call_looks(counts: DeviceCounts, where: Where, reached: Floats, others: tuple[Claim, ...]) -> Iterator[Look]:
    seen, lost = rate(reached, counts.pageviews), rate(counts.pageviews - reached, counts.pageviews)
    missed = counts.pageviews.sum() - reached.sum()
    evidence = {"visits": counts.pageviews.sum(), "saw": reached.sum(), "missed": missed}
    evidence["first_view_clicks"] = counts.first_view.sum()
    found = (*others, lost.above(LOST))
    yield Look("first_view_without_call", counts.device, where, lost, found, missed, evidence)
    found = (*others, seen.below(MOST_VISITORS))
    yield Look("call_too_low", counts.device, where, seen, found, missed, evidence)
