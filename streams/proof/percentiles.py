"""Percentiles by the nearest rank, for every figure of benchmarks and verifications."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SPREAD = {"p50": 50, "p95": 95, "p99": 99, "max": 100}

Values = Sequence[float] | npt.NDArray[np.float64]


def percentile(values: Values, percent: int) -> Any:
    """Return the smallest value that at least `percent` % of the values do not exceed."""
    return _ranked(np.sort(np.asarray(values)), percent)


def spread(values: Values, digits: int | None = None) -> dict[str, Any]:
    """Return p50, p95, p99 and the maximum, rounded to `digits`; empty without values."""
    ordered = np.sort(np.asarray(values))
    if not ordered.size:
        return {}
    picked = {name: _ranked(ordered, percent) for name, percent in SPREAD.items()}
    return picked if digits is None else {name: round(value, digits) for name, value in picked.items()}


def _ranked(ordered: npt.NDArray[Any], percent: int) -> Any:
    return ordered[max(0, -(-percent * ordered.size // 100) - 1)].item()
