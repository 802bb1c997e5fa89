"""A look: a question about a place of a page, with the rates that answer it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from processors.findings.counts import Place
from processors.findings.estimates import Claim, Rate
from processors.findings.parts import Part
from processors.pictures.heat import CELL_COLUMNS
from schemas.generation import Change

Kind = Literal[
    "dead_clicks",
    "rage_clicks",
    "device_gap",
    "section_left",
    "first_view_without_call",
    "call_too_low",
    "read_not_clicked",
    "sought_too_low",
    "attention_without_link",
    "page_too_long",
]
# the change that a variant of the page should make
CHANGES: dict[Kind, Change] = {
    "dead_clicks": "design",
    "rage_clicks": "design",
    "device_gap": "design",
    "section_left": "copy",
    "first_view_without_call": "call",
    "call_too_low": "order",
    "read_not_clicked": "call",
    "sought_too_low": "order",
    "attention_without_link": "design",
    "page_too_long": "order",
}


@dataclass(frozen=True, slots=True)
class Where:
    """A place: section, pixels from the top, percent of the width, and whether it does not scroll.

    `fixed` places count from the top of the screen.
    """

    section: str | None
    from_px: int
    to_px: int
    from_percent: int = 0
    to_percent: int = 100
    fixed: bool = False

    @classmethod
    def of_part(cls, part: Part) -> "Where":
        """Return the place of a section."""
        return cls(part.name, part.top, part.bottom)

    @classmethod
    def of_place(cls, place: Place, section: str | None) -> "Where":
        """Return the place of a rectangle of cells."""
        left, right = (round(100 * column / CELL_COLUMNS) for column in (place.left, place.right + 1))
        return cls(None if place.fixed else section, place.from_px, place.to_px, left, right, place.fixed)

    def overlaps(self, other: "Where") -> bool:
        """Return whether the two places have pixels in common."""
        return (
            self.fixed == other.fixed
            and self.from_px < other.to_px
            and other.from_px < self.to_px
            and self.from_percent < other.to_percent
            and other.from_percent < self.to_percent
        )


@dataclass(frozen=True, slots=True)
class Look:
    """A question. It is a finding if each of its claims is certain.

    `shown` is the rate that the report gives with its interval, in `unit`. `visitors` are the visits concerned.
    `element` names what they click there, if that is clear.
    """

    kind: Kind
    device: str
    where: Where
    shown: Rate
    claims: tuple[Claim, ...]
    visitors: float
    evidence: Mapping[str, float] = field(default_factory=dict)
    unit: Literal["share", "seconds", "per_visit"] = "share"
    element: str | None = None

    def supported(self, z: float) -> bool:
        """Return whether every interval of z errors supports the finding."""
        return all(claim.errors > z for claim in self.claims)

    def factor(self, z: float) -> float:
        """Return how many times as many visits would support it; infinite if nothing points to it."""
        return max(claim.needs(z) for claim in self.claims)
