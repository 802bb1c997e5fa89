"""Counts of running experiments: the last day anew each time, older rows once an hour."""

from itertools import pairwise
from typing import Any, cast
from uuid import uuid4

import pytest

from infra.clickhouse.client import ClickHouse
from schemas.errors import Retryable
from schemas.experiments import ExperimentState
from streams.experiments.counting import Counting

NOW_S = 1_795_451_400
DAY_S = 86_400
CLICKS = dict.fromkeys(("dead", "rage", "dead_squares", "rage_squares"), 0)


class Asked:
    """A ClickHouse that notes what it is asked, and answers with one row for each page."""

    def __init__(self) -> None:
        self.queries: list[dict[str, Any]] = []

    async def rows(self, _: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        self.queries.append(values)
        zeros = {f"{goal}_": 0 for goal in ("form", "tel", "mail", "outbound", "custom")}
        return [
            {"lp_id": lp_id, "start_s": start, "views": 1, "converted": 0, "deep": 0, **zeros, **CLICKS}
            for lp_id, start in zip(values["lp_ids"], values["starts"], strict=True)
        ]


def state(lp_id: str, age_s: int) -> ExperimentState:
    return ExperimentState.model_validate(
        {
            "experiment_id": str(uuid4()),
            "tenant_id": "demo",
            "lp_id": lp_id,
            "arms": [lp_id, f"{lp_id}-b"],
            "requested_ms": 1,
            "epoch": 1,
            "number": 0,
            "status": "running",
            "weights": [0.5, 0.5],
            "started_ms": 1,
            "counted_from_ms": (NOW_S - age_s) * 1000,
            "decided_ms": 1,
        }
    )


async def test_a_young_experiment_is_counted_by_minutes_from_its_start() -> None:
    asked = Asked()
    rows = await Counting(cast(ClickHouse, asked)).rows([state("demo-a", 600)], NOW_S, {})
    assert [query["span"] for query in asked.queries] == [60]
    assert asked.queries[0]["starts"] == [NOW_S - 600] * 2
    assert [(row.lp_id, row.span_s) for row in rows["demo-a"]] == [("demo-a", 60), ("demo-a-b", 60)]


async def test_frequent_looks_are_counted_by_windows() -> None:
    asked = Asked()
    await Counting(cast(ClickHouse, asked), interval_s=5).rows([state("demo-a", 600)], NOW_S, {})
    assert [query["span"] for query in asked.queries] == [5]


async def test_older_rows_are_asked_once_an_hour() -> None:
    asked, old, young = Asked(), state("demo-a", 3 * DAY_S), state("demo-c", 60)
    counting = Counting(cast(ClickHouse, asked))
    for later_s in (0, 60, 120):
        rows = await counting.rows([old, young], NOW_S + later_s, {})
        assert [row.lp_id for row in rows["demo-a"]] == ["demo-a", "demo-a-b"] * 3
        assert [row.lp_id for row in rows["demo-c"]] == ["demo-c", "demo-c-b"]
    assert [len(query["lp_ids"]) for query in asked.queries] == [2, 2, 4, 4, 4], "two days, then each look"
    assert asked.queries[0]["lp_ids"] == ["demo-a", "demo-a-b"]
    assert {query["span"] for query in asked.queries} == {60}, "weights may move each minute"
    await counting.rows([old, young], NOW_S + 3_700, {})
    assert [len(query["lp_ids"]) for query in asked.queries[5:]] == [2, 2, 2, 4], "the last one half an hour"


@pytest.mark.parametrize("looks", ["each minute", "an hour later", "after the clock was set back"])
@pytest.mark.parametrize("change", [9, -1])
async def test_rows_that_change_after_a_day_count_within_an_hour(looks: str, change: int) -> None:
    log, old = Log(), state("demo-a", 3 * DAY_S)
    counting = Counting(cast(ClickHouse, log))
    begin_s = old.counted_from_ms // 1000 // 60 * 60
    log.views = {begin_s + 600: 1, begin_s + DAY_S + 600: 2, NOW_S // 60 * 60 - 9_000: 4}
    assert await log.counted(counting, old, NOW_S) == 7
    log.views[begin_s + 600] += change
    log.views[begin_s + 5 * 3_600] = 20
    step_s = 60 if looks == "each minute" else 3_600
    for later_s in range(60, 3_600, step_s):
        assert await log.counted(counting, old, NOW_S + later_s) in (7, 27 + change)
    now_s = NOW_S - 7_200 if "back" in looks else NOW_S + 3_600
    assert await log.counted(counting, old, now_s) == 27 + change
    assert await log.counted(Counting(cast(ClickHouse, log)), old, now_s) == 27 + change, "as after a start"


async def test_a_day_of_looks_asks_for_older_rows_a_bounded_number_of_times() -> None:
    asked, old = Asked(), state("demo-a", 20 * DAY_S)
    counting = Counting(cast(ClickHouse, asked))
    looks = range(NOW_S, NOW_S + DAY_S, 60)
    for now_s in looks:
        await counting.rows([old], now_s, {})
    assert len(asked.queries) - len(looks) <= 24 * (2 * 20 + 1), "each half hour at most, and each hour that gets old"


async def test_experiments_take_turns_when_older_rows_are_asked_again() -> None:
    asked = Asked()
    counting = Counting(cast(ClickHouse, asked))
    experiments = [state(f"demo-{number}", 2 * DAY_S) for number in range(40)]
    counts = []
    for now_s in range(NOW_S, NOW_S + 3_660, 60):
        before = len(asked.queries)
        for each in experiments:
            await counting.rows([each], now_s, {})
        counts.append(len(asked.queries) - before - len(experiments))
    assert sum(counts[1:]) >= 40 and sorted(counts[1:])[-2] <= 20, "one look may read the hour that has become old"


async def test_a_read_that_fails_is_continued() -> None:
    log, old = Log(), state("demo-a", 3 * DAY_S)
    counting = Counting(cast(ClickHouse, log))
    log.views = {old.counted_from_ms // 1000 // 60 * 60 + 600: 1, NOW_S // 60 * 60 - 9_000: 4}
    assert await log.counted(counting, old, NOW_S) == 5
    log.away_after = 1
    with pytest.raises(Retryable):
        await log.counted(counting, old, NOW_S + 3_600)
    log.away_after = None
    assert await log.counted(counting, old, NOW_S + 3_660) == 5


async def test_older_and_newer_rows_do_not_overlap() -> None:
    asked = Asked()
    await Counting(cast(ClickHouse, asked)).rows([state("demo-a", 3 * DAY_S)], NOW_S, {})
    ends = [query["end"].timestamp() for query in asked.queries]
    assert [query["starts"][0] for query in asked.queries] == [NOW_S - 3 * DAY_S, *ends[:-1]]
    assert ends[-2] % 3_600 == 0 and all(end - start <= DAY_S for start, end in pairwise(ends[:-1]))


async def test_older_rows_of_ended_experiments_are_dropped() -> None:
    asked, old = Asked(), state("demo-a", 3 * DAY_S)
    counting = Counting(cast(ClickHouse, asked))
    await counting.rows([old], NOW_S, {})
    counting.forget_all_but([])
    await counting.rows([old], NOW_S, {})
    assert len(asked.queries) == 6


class Log(Asked):
    """A ClickHouse with the views of each minute of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.views: dict[int, int] = {}
        self.away_after: int | None = None

    async def rows(self, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        if self.away_after is not None:
            if not self.away_after:
                raise Retryable("ClickHouse does not answer")
            self.away_after -= 1
        row, until_s = (await super().rows(sql, values))[0], int(values["end"].timestamp())
        return [
            row | {"start_s": start_s, "views": views}
            for start_s, views in self.views.items()
            if values["starts"][0] <= start_s < until_s
        ]

    async def counted(self, counting: Counting, experiment: ExperimentState, now_s: int) -> int:
        rows = await counting.rows([experiment], now_s, {})
        return sum(row.pageviews for row in rows[experiment.lp_id])


class Minutes(Asked):
    """A ClickHouse with a pageview in each minute."""

    async def rows(self, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        until_s = int(values["end"].timestamp())
        return [
            row | {"start_s": start_s // 60 * 60}
            for row in await super().rows(sql, values)
            for start_s in range(row["start_s"], until_s, 60)
        ]


async def test_rows_older_than_a_day_never_lie_across_a_change_of_weights() -> None:
    old = state("demo-a", 2 * DAY_S)
    begin_s = old.counted_from_ms // 1000
    points = [(begin_s, [0.5, 0.5]), *((begin_s + 3_600 + 600 * each, [0.6, 0.4]) for each in range(4))]
    rows = (await Counting(cast(ClickHouse, Minutes())).rows([old], NOW_S, {"demo-a": points}))["demo-a"]
    assert sum(row.pageviews for row in rows if row.start_s < NOW_S - DAY_S) == 2 * 1_440
    older = [row for row in rows if row.span_s != 60]
    assert 2 * 24 <= len(older) <= 2 * (26 + len(points))
    for row in older:
        assert row.span_s <= 3_600 and row.pageviews == row.span_s // 60
        assert not any(row.start_s + 60 < since_s < row.start_s + row.span_s for since_s, _ in points)


async def test_experiments_of_the_same_id_are_kept_apart() -> None:
    first, second = state("demo-a", 3 * DAY_S), state("demo-c", 3 * DAY_S)
    second = second.model_copy(update={"experiment_id": first.experiment_id})
    rows = await Counting(cast(ClickHouse, Asked())).rows([first, second], NOW_S, {})
    assert {row.lp_id for row in rows["demo-c"]} == {"demo-c", "demo-c-b"}
