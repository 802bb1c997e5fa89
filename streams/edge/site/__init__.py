"""Routes of pages, files, the snippet, progress and heatmaps."""
