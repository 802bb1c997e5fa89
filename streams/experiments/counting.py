"""The counts of running experiments: by minute for the last day, by hour before it.

If the optimizer looks more often than each minute, as in the demo, the last day is counted by windows of 5 s.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.experiment_counts import counts
from schemas.experiments import ExperimentState, PageCounts

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
WINDOW_S = 5
AHEAD_S = 600  # clocks of visitors may be ahead by five minutes
Experiment = tuple[str, UUID]


class Counting:
    """A reader of counts. Hours are asked for once, as days of them may lie on S3; minutes each time."""

    def __init__(self, clickhouse: ClickHouse, interval_s: float = MINUTE_S) -> None:
        self._clickhouse = clickhouse
        # weights may move with each look, and a row should have one set of weights
        self._row_s = MINUTE_S if interval_s >= MINUTE_S else WINDOW_S
        self._hours: dict[Experiment, tuple[int, list[PageCounts]]] = {}

    async def rows(self, states: Sequence[ExperimentState], now_s: int) -> dict[str, list[PageCounts]]:
        """Return the rows of each page's experiment, for at most MOST_PAGES arms in all."""
        edge_s = (now_s - DAY_S) // HOUR_S * HOUR_S
        old = [state for state in states if _start_s(state) < edge_s and self._edge_s(state) != edge_s]
        hours = await counts(self._clickhouse, _starts(old), edge_s, HOUR_S)
        for state in old:
            self._hours[_key(state)] = edge_s, _of(state, hours)
        starts = {lp_id: max(start_s, edge_s) for lp_id, start_s in _starts(states).items()}
        minutes = await counts(self._clickhouse, starts, now_s + AHEAD_S, self._row_s)
        return {state.lp_id: [*self._older(state), *_of(state, minutes)] for state in states}

    def forget_all_but(self, running: Iterable[ExperimentState]) -> None:
        """Drop the hours of experiments that do not run any more."""
        keys = {_key(state) for state in running}
        self._hours = {key: hours for key, hours in self._hours.items() if key in keys}

    def _edge_s(self, state: ExperimentState) -> int | None:
        held = self._hours.get(_key(state))
        return held[0] if held is not None else None

    def _older(self, state: ExperimentState) -> list[PageCounts]:
        held = self._hours.get(_key(state))
        return held[1] if held is not None else []


def _key(state: ExperimentState) -> Experiment:
    """Return the key of an experiment: tenants may choose the same id."""
    return state.lp_id, state.experiment_id


def _start_s(state: ExperimentState) -> int:
    return state.counted_from_ms // 1000 // WINDOW_S * WINDOW_S


def _starts(states: Sequence[ExperimentState]) -> dict[str, int]:
    return {arm: _start_s(state) for state in states for arm in state.arms}


def _of(state: ExperimentState, rows: Sequence[PageCounts]) -> list[PageCounts]:
    return [row for row in rows if row.lp_id in state.arms]
