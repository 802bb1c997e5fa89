"""Computation of the five heatmap tables from beacons."""
