"""Where a page's sections are, inferred from how many pageviews reached them.

The tables have no places of sections. The reach of a section's top is that of the pixel where it begins, so the reach
by depth says where that is. Where nobody left, as in the first view, the clicks inside decide.
"""

from dataclasses import dataclass

import numpy as np

from processors.findings.counts import DeviceCounts, Layout
from processors.pictures.heat import BAND_H, CELL_H, Ints

CLEAR_PX = 3 * BAND_H  # a top that is known to this is not refined by clicks


@dataclass(frozen=True, slots=True)
class Part:
    """A section's place: its pixels from `top` up to `bottom`."""

    name: str
    top: int
    bottom: int


def parts_of(counts: DeviceCounts, layout: Layout) -> list[Part]:
    """Return the sections that were seen, from the top of the page to its end."""
    names = _ordered(counts, layout)
    reach = counts.reached.sum(axis=1)
    tops: list[int] = []
    bottom = counts.size.height
    for name in reversed(names):
        seen = float(counts.sections[name].reached.sum())
        bottom = min(bottom, _top(counts, reach, seen, float(counts.sections[name].clicks.sum()), bottom))
        tops.insert(0, bottom)
    if tops and tops[0] < counts.size.fold:
        tops[0] = 0
    bottoms = [*tops, counts.size.height][1:]
    return [Part(*one) for one in zip(names, tops, bottoms, strict=True) if one[2] > one[1]]


def _ordered(counts: DeviceCounts, layout: Layout) -> list[str]:
    """Return the names of sections from the top of the page.

    Every view that shows a part of the first screen's upper section shows its lower sections too. So of sections that
    all pageviews reached, the one in view for longer is lower.
    """
    seen = {name: one for name, one in counts.sections.items() if one.reached.any()}
    if layout.known:  # a beacon may name sections that the page does not have
        return [name for name in dict.fromkeys(layout.sections) if name in seen]
    return sorted(seen, key=lambda name: (-seen[name].reached.sum(), seen[name].exposure.sum(), name))


def _top(counts: DeviceCounts, reach: Ints, seen: float, clicks: float, bottom: int) -> int:
    more, fewer = np.flatnonzero(reach > seen), np.flatnonzero(reach < seen)
    low = BAND_H * int(more[-1]) if len(more) else 0
    high = min(BAND_H * int(fewer[0]) if len(fewer) else bottom, bottom)
    if high - low <= CLEAR_PX:
        return (low + high) // 2
    rows = counts.row_clicks[: bottom // CELL_H + 1]
    below = np.cumsum(rows[::-1])[::-1]  # clicks from each row down to the bottom
    fitting = np.flatnonzero(np.abs(below - clicks) == np.abs(below - clicks).min()) * CELL_H
    fitting = fitting[(fitting >= low) & (fitting <= high)]
    return int(fitting.mean()) if len(fitting) else (low + high) // 2


def part_at(parts: list[Part], px: float) -> Part | None:
    """Return the section at this pixel, or None above the first one."""
    return next((part for part in parts if part.top <= px < part.bottom), None)
