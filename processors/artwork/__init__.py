"""Drawings of the designs' pictures, as SVG. `make pictures` turns them into the files that pages use."""
