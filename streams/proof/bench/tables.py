"""The sums that must agree between two implementations of the heatmap worker's job."""

SUMS = {
    "heatmap_cells": ("hits", "dwell_ms"),
    "heatmap_scroll": ("reached", "exposure_ms"),
    "heatmap_sections": ("clicks", "reached", "exposure_ms"),
    "heatmap_windows": ("pageviews", "events", "clicks", "moves", "scrolls"),
    "heatmap_views": ("pageviews",),
}
