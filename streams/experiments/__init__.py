"""Experiments of pages: reading their topic, and the optimizer that learns and decides."""
