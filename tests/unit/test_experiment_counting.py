"""Counts of running experiments: the last day anew each time, older rows once."""

from itertools import pairwise
from typing import Any, cast
from uuid import uuid4

from infra.clickhouse.client import ClickHouse
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


async def test_older_rows_are_asked_once() -> None:
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
    assert [len(query["lp_ids"]) for query in asked.queries[5:]] == [2, 4]


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
