"""Computation of the heatmap tables from beacons."""
