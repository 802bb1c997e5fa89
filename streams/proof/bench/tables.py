"""Figures by which two ways of doing the heatmap worker's work are compared."""

SUMS = {
    "heatmap_cells": ("hits", "dwell_ms"),
    "heatmap_scroll": ("reached", "exposure_ms"),
    "heatmap_sections": ("clicks", "reached", "exposure_ms"),
    "heatmap_windows": ("pageviews", "events", "clicks", "moves", "scrolls"),
    "heatmap_views": ("pageviews",),
}
