"""The hot tables for the tiers: their key columns and the columns that are summed."""

from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True, slots=True)
class HotTable:
    """A table: key columns in the order of the sorting key, measures in the order of the columns.

    `added` are the measures of each later migration, which older objects of the warm tier lack. They do not change the
    fingerprint of rows in which they are 0.
    """

    keys: tuple[str, ...]
    measures: tuple[str, ...]
    added: tuple[tuple[str, ...], ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Return the names of all columns."""
        return (*self.keys, *self.measures, *chain(*self.added))

    @property
    def columns(self) -> str:
        """Return the names of all columns, separated by commas."""
        return ", ".join(self.all)

    @property
    def summed(self) -> str:
        """Return keys and sums for a SELECT that groups by the keys."""
        return ", ".join((*self.keys, *(f"sum(t.{name}) AS {name}" for name in self.all[len(self.keys) :])))

    @property
    def key_list(self) -> str:
        """Return the keys for GROUP BY and ORDER BY."""
        return ", ".join(self.keys)

    @property
    def counts(self) -> str:
        """Return the condition that a summed row is not all zeros.

        Such rows do not count, because the server drops them when it merges.
        """
        return " OR ".join(f"{name} != 0" for name in self.measures)

    @property
    def fingerprint(self) -> str:
        """Return the aggregates of `schemas.tiers.Fingerprint` over summed rows."""
        sums = ", ".join(f"sum({name})" for name in self.measures)
        known = [*self.keys, *self.measures]
        hashes = f"cityHash64({', '.join(known)})"
        for names in self.added:
            known += names
            hashes += f" + if({' + '.join(names)} = 0, 0, cityHash64({', '.join(known)}))"
        return f"count() AS row_count, [{sums}] AS sums, sum({hashes}) AS digest"


HOT_TABLES = {
    "heatmap_cells": HotTable(("lp_id", "device", "kind", "fixed", "window_start", "y", "x"), ("hits", "dwell_ms")),
    "heatmap_scroll": HotTable(("lp_id", "device", "window_start", "band"), ("reached", "exposure_ms")),
    "heatmap_sections": HotTable(("lp_id", "device", "window_start", "section"), ("clicks", "reached", "exposure_ms")),
    "heatmap_windows": HotTable(
        ("lp_id", "device", "window_start"),
        ("pageviews", "events", "clicks", "rage_clicks", "dead_clicks", "moves", "scrolls", "goals"),
        (
            ("goals_form", "goals_tel", "goals_mail", "goals_outbound", "goals_custom", "conversions", "sampled_out"),
            (
                *("left_out_pageviews", "left_out_events", "left_out_clicks", "left_out_rage_clicks"),
                *("left_out_dead_clicks", "left_out_moves", "left_out_scrolls", "left_out_goals"),
                "left_out_conversions",
            ),
        ),
    ),
    "heatmap_views": HotTable(
        ("lp_id", "device", "window_start", "page_w", "page_h", "viewport_w", "viewport_h"), ("pageviews",)
    ),
    "heatmap_elements": HotTable(
        ("lp_id", "device", "window_start", "element"),
        ("clicks", "rage_clicks", "dead_clicks"),
        (("left_out_clicks", "left_out_rage_clicks", "left_out_dead_clicks"),),
    ),
}
