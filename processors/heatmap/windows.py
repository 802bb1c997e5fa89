"""The 5-second windows, and the correction of wrong browser clocks."""

import numpy as np
import numpy.typing as npt

from schemas.heatmap import LATE_LIMIT_MS, WINDOW_MS

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

WINDOW_S = WINDOW_MS // 1000
EARLY_LIMIT_MS = 24 * 3600 * 1000
# ClickHouse's DateTime is 32 bits of seconds
LAST_WINDOW = (2**32 - 1) // WINDOW_S


def windows_of(times_ms: Ints) -> Ints:
    """Return each time's window number, clamped to the range of ClickHouse's DateTime (1970 to 2106)."""
    windows: Ints = np.clip(times_ms // WINDOW_MS, 0, LAST_WINDOW)
    return windows


def clock_shift(last_event_ms: Ints, timestamps_ms: Ints) -> tuple[Ints, Flags]:
    """Return the ms to add to each beacon's times, and flags of the beacons whose clocks were wrong.

    If a beacon's last event is more than 24 h before or 5 min after its record, all its times are shifted so that the
    last event has the record's timestamp.
    """
    ahead = last_event_ms - timestamps_ms
    skewed: Flags = (ahead < -EARLY_LIMIT_MS) | (ahead > LATE_LIMIT_MS)
    return np.where(skewed, -ahead, 0), skewed
