"""Heatmap pictures and summaries, made from counted cells."""
