"""The routes of pages, files, the snippet, progress and heatmaps."""
