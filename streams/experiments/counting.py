"""The counts of running experiments: by minute for the last day, by hour and weights before it.

If the optimizer looks more often than each minute, as in the demo, they are counted by windows of 5 s.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.experiment_counts import counts
from processors.experiments.evidence import Points, folded
from schemas.experiments import ExperimentState, PageCounts

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
WINDOW_S = 5
SPREAD_S = HOUR_S // 2
MOST_ROWS = 1_440  # of a page in one query: a day of minutes
AHEAD_S = 600  # clocks of visitors may be ahead by five minutes
Experiment = tuple[str, UUID]


class Counting:
    """A reader of counts. It queries the last day each time, and older rows again within an hour.

    Older rows change too: a worker catches up after an outage, dead letters are sent again, a day is rebuilt or erased.
    """

    def __init__(self, clickhouse: ClickHouse, interval_s: float = MINUTE_S) -> None:
        self._clickhouse = clickhouse
        # weights may move with each look, and a row should have one set of weights
        self._row_s = MINUTE_S if interval_s >= MINUTE_S else WINDOW_S
        self._older: dict[Experiment, tuple[int, list[PageCounts]]] = {}  # rows, and until when
        self._read_s: dict[Experiment, int] = {}  # when the older rows were read from their start

    async def rows(
        self, states: Sequence[ExperimentState], now_s: int, points: Mapping[str, Points]
    ) -> dict[str, list[PageCounts]]:
        """Return the rows of each page's experiment, for at most MOST_PAGES arms in all.

        `points` are the past weights by page.
        """
        edge_s = (now_s - DAY_S) // HOUR_S * HOUR_S
        self._drop_old(states, now_s)
        while behind := [state for state in states if self._until_s(state) < edge_s]:
            until_s = min(edge_s, min(map(self._until_s, behind)) + MOST_ROWS * self._row_s)
            behind = [state for state in behind if self._until_s(state) < until_s]
            rows = await counts(self._clickhouse, self._starts(behind), until_s, self._row_s)
            for state in behind:
                more = folded(_of(state, rows), points.get(state.lp_id, ()))
                self._older[_key(state)] = until_s, [*self._held(state), *more]
        rows = await counts(self._clickhouse, self._starts(states), now_s + AHEAD_S, self._row_s)
        return {state.lp_id: [*self._held(state), *_of(state, rows)] for state in states}

    def forget_all_but(self, running: Iterable[ExperimentState]) -> None:
        """Drop the rows of experiments that do not run any more."""
        for key in self._read_s.keys() - {_key(state) for state in running}:
            self._drop(key)

    def _drop_old(self, states: Sequence[ExperimentState], now_s: int) -> None:
        """Drop older rows after 30 to 60 minutes, so that they are read again.

        The ids decide the minute: groups of experiments take turns, and no look reads the older rows of all.
        """
        again_s = HOUR_S - min((state.experiment_id.int for state in states), default=0) % SPREAD_S
        for key in map(_key, states):
            if not 0 <= now_s - self._read_s.setdefault(key, now_s) < again_s:  # negative: the clock was set back
                self._drop(key)
                self._read_s[key] = now_s

    def _drop(self, key: Experiment) -> None:
        self._older.pop(key, None)
        self._read_s.pop(key, None)

    def _held(self, state: ExperimentState) -> list[PageCounts]:
        return self._older.get(_key(state), (0, []))[1]

    def _until_s(self, state: ExperimentState) -> int:
        """Return from when on the rows of an experiment are asked for: until then they are held."""
        start_s = state.counted_from_ms // 1000 // WINDOW_S * WINDOW_S
        return self._older.get(_key(state), (start_s, []))[0]

    def _starts(self, states: Sequence[ExperimentState]) -> dict[str, int]:
        return {arm: self._until_s(state) for state in states for arm in state.arms}


def _key(state: ExperimentState) -> Experiment:
    """Return the key of an experiment: tenants may choose the same id."""
    return state.lp_id, state.experiment_id


def _of(state: ExperimentState, rows: Sequence[PageCounts]) -> list[PageCounts]:
    return [row for row in rows if row.lp_id in state.arms]
