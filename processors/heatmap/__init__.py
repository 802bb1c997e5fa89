"""Beacons become sums of the five tables."""
