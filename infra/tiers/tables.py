"""The hot tables as the tiers see them: what a row is known by, and what is summed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HotTable:
    """A table: its key columns in the order of its sorting key, its measures in the order of its columns."""

    keys: tuple[str, ...]
    measures: tuple[str, ...]

    @property
    def columns(self) -> str:
        """Keys and measures, for a list of columns."""
        return ", ".join((*self.keys, *self.measures))

    @property
    def summed(self) -> str:
        """Keys and sums, for a SELECT that groups by the keys."""
        return ", ".join((*self.keys, *(f"sum(t.{name}) AS {name}" for name in self.measures)))

    @property
    def key_list(self) -> str:
        """Keys, for GROUP BY and ORDER BY."""
        return ", ".join(self.keys)

    @property
    def counts(self) -> str:
        """Whether a summed row says anything: the server drops rows of zeros when it merges, so they do not count."""
        return " OR ".join(f"{name} != 0" for name in self.measures)

    @property
    def fingerprint(self) -> str:
        """Aggregates of schemas.tiers.Fingerprint over summed rows."""
        sums = ", ".join(f"sum({name})" for name in self.measures)
        return f"count() AS row_count, [{sums}] AS sums, sum(cityHash64({self.columns})) AS digest"


HOT_TABLES = {
    "heatmap_cells": HotTable(("lp_id", "device", "kind", "fixed", "window_start", "y", "x"), ("hits", "dwell_ms")),
    "heatmap_scroll": HotTable(("lp_id", "device", "window_start", "band"), ("reached", "exposure_ms")),
    "heatmap_sections": HotTable(("lp_id", "device", "window_start", "section"), ("clicks", "reached", "exposure_ms")),
    "heatmap_windows": HotTable(
        ("lp_id", "device", "window_start"),
        ("pageviews", "events", "clicks", "rage_clicks", "dead_clicks", "moves", "scrolls", "goals"),
    ),
    "heatmap_views": HotTable(
        ("lp_id", "device", "window_start", "page_w", "page_h", "viewport_w", "viewport_h"), ("pageviews",)
    ),
}
