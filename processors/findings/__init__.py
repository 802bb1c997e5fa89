"""Findings: places of a page where visitors meet a difficulty, from its counts."""
