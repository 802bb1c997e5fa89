"""The numbers of a heatmap for a table: hottest places, scroll depth, sections and elements."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
import numpy as np

from processors.pictures.heat import BAND_H, CELL_COLUMNS, CELL_H, Ints
from processors.pictures.maps import Cells

HALF_COLUMNS, HALF_ROWS = 10, 3  # a place is a sixth of the width by 100 px: about the size of a button
MOST_SPOTS = 5
SHARES = (75, 50, 25)


class Spot(msgspec.Struct, frozen=True):
    """A place: its centre in percent of the width and px from the top, and its share of the total.

    The top is that of the page, or of the view for a fixed place.
    """

    x_percent: int
    y_px: int
    fixed: bool
    share: float


class Reach(msgspec.Struct, frozen=True):
    """The depth in px that `percent` of the pageviews reached; None if fewer saw the top."""

    percent: int
    px: int | None


class SectionSeen(msgspec.Struct, frozen=True):
    """The figures of a section: pageviews that reached its top or passed it, clicks in it, time in view."""

    name: str
    reached: int
    clicks: int
    exposure_ms: int


class ElementClicked(msgspec.Struct, frozen=True):
    """The clicks of an element, its rank from 1, and its share of the clicks on all elements.

    Rank and share are by the clicks of the map's kind: all, dead or rage.

    Elements with as many clicks have the same rank.
    """

    name: str
    rank: int
    share: float
    clicks: int
    rage_clicks: int
    dead_clicks: int


class MapSummary(msgspec.Struct, frozen=True):
    """A map's numbers. `total` and `peak` are hits or ms of rest, `devices` pageviews by device type.

    Earlier days than `readable_from` (UTC) are not complete, because some are on Glacier.
    """

    device: str
    devices: dict[str, int]
    pageviews: int
    total: int
    peak: float
    fold: int
    spots: list[Spot]
    reached: list[Reach]
    sections: list[SectionSeen]
    elements: list[ElementClicked]
    readable_from: date | None = None


def spots_of(cells: Cells) -> list[Spot]:
    """Return the heaviest places; each one excludes the cells of the places before it."""
    total = int(cells.weight.sum())
    left = cells.weight.astype(np.int64, copy=True)
    spots: list[Spot] = []
    while len(spots) < MOST_SPOTS and left.any():
        middle = int(left.argmax())
        near = (
            (np.abs(cells.x - cells.x[middle]) <= HALF_COLUMNS)
            & (np.abs(cells.y - cells.y[middle]) <= HALF_ROWS)
            & (cells.fixed == cells.fixed[middle])
        )
        weight = np.where(near, left, 0)
        x, y = (float((weight * (along + 0.5)).sum() / weight.sum()) for along in (cells.x, cells.y))
        share = round(float(weight.sum()) / total, 4)
        spots.append(Spot(round(100 * x / CELL_COLUMNS), round(y * CELL_H), bool(cells.fixed[middle]), share))
        left[near] = 0
    return sorted(spots, key=lambda spot: -spot.share)


def elements_of(rows: Sequence[Mapping[str, Any]]) -> list[ElementClicked]:
    """Return the elements with rank and share.

    The rows are sorted by `measured`, the clicks of the map's kind; each has the `total` of all elements.
    """
    measured = [int(row["measured"]) for row in rows]
    return [
        ElementClicked(
            row["element"],
            measured.index(count) + 1,
            round(count / int(row["total"]), 4),
            int(row["clicks"]),
            int(row["rage_clicks"]),
            int(row["dead_clicks"]),
        )
        for row, count in zip(rows, measured, strict=True)
    ]


def reach_of(band: Ints, reached: Ints, pageviews: int) -> list[Reach]:
    """Return the depth that 75, 50 and 25 percent of the pageviews reached at least."""
    depths = []
    for percent in SHARES:
        deep = band[reached * 100 >= percent * max(1, pageviews)]
        depths.append(Reach(percent, int(deep.max()) * BAND_H if len(deep) else None))
    return depths
