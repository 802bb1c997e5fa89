"""Drawings of the curated pictures (SVG), and the encoder that makes the files that pages use."""
