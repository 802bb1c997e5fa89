"""Counted cells become heatmap pictures and numbers."""
