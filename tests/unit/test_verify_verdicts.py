"""The verification plan on fixed figures: verdicts, departure model, capacity, faults and the report."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from infra.clickhouse.client import ClickHouse
from schemas.heatmap import KIND_BY_LETTER, decode_beacon
from streams.proof.verify.capacity import capacity, carried, instances, ran_out
from streams.proof.verify.counts import compare, counted_by_page
from streams.proof.verify.departures import departure_rate, leaving
from streams.proof.verify.faults import planned
from streams.proof.verify.fleet import Part, Seen, merged, split
from streams.proof.verify.measures import figures, memory_growth, outages, slowdown, spread
from streams.proof.verify.place import Place
from streams.proof.verify.plots import Line, ceiling, chart
from streams.proof.verify.probes import Probes
from streams.proof.verify.report import figure, keep, kept, render, share, write
from streams.proof.verify.resources import Sample, Use, Watch
from streams.proof.verify.run import Asked, Measured
from streams.proof.verify.scenarios import AWAY_S, SCENARIOS
from streams.proof.verify.verdicts import failed, row, rows
from streams.proof.verify.visits import LONGEST, SHORTEST, pool
from streams.runtime.settings import Settings

FIELDS = {"id", "scenario", "measure", "unit", "limit", "comparator", "value", "scale", "verdict"}
JAPANESE_TABLE_ROWS = (
    "| LP生成時間 | 10秒以内 |", "| 同時接続数 | 10,000人 |", "| ヒートマップ保存 | 30日 |", "| 可用性 | 99.9% |",
    "| 1. 通常負荷 |", "| 2. ピーク負荷 |", "| 3. 限界負荷 |", "| 4. スパイク負荷 |",
    "| LP生成時間 | 30秒 | 10秒 |", "| 離脱率 | 60% | 15% |", "| 同時処理能力 | 1,000 | 10,000 |",
    "| インフラコスト | 50万円/月 | 30万円/月 |", "| ストレージ使用量 | 1TB/月 | 300GB/月 |",
    "| AI APIのレイテンシ | 高 |", "| コスト超過 | 高 |",
)  # fmt: skip


# -- verdicts ----------------------------------------------------------------------------------------------


def check_of(scenario: str, measure: str) -> Any:
    return next(check for check in SCENARIOS[scenario].checks if check.measure == measure)


@pytest.mark.parametrize(
    ("scenario", "measure", "value", "scale", "limit", "verdict"),
    [
        ("peak", "lp_in_time", 0.95, 1.0, 0.95, "pass"),
        ("peak", "lp_in_time", 0.9499, 1.0, 0.95, "fail"),
        ("normal", "lp_in_time", 0.999, 1.0, 1.0, "fail"),
        ("limit", "connections", 10_000, 1.0, 10_000, "pass"),
        ("limit", "connections", 9_999, 1.0, 10_000, "fail"),
        ("limit", "connections", 5_000, 0.5, 5_000, "pass"),
        ("spike", "error_rate", 0.051, 1.0, 0.05, "fail"),
        ("chaos", "events_lost", 1, 1.0, 0, "fail"),
        ("chaos", "events_doubled", 0, 0.5, 0, "pass"),
        ("soak", "memory_growth", None, 1.0, 0.1, "not_run"),
    ],
)  # fmt: skip
def test_a_measure_is_compared_with_its_limit(
    scenario: str, measure: str, value: float | None, scale: float, limit: float, verdict: str
) -> None:
    line = row(SCENARIOS[scenario], check_of(scenario, measure), value, scale, 1_800)
    assert set(line) == FIELDS
    assert (line["limit"], line["scale"], line["verdict"]) == (pytest.approx(limit), scale, verdict)


def test_memory_growth_is_judged_only_after_the_full_time() -> None:
    check = check_of("soak", "memory_growth")
    verdicts = [row(SCENARIOS["soak"], check, 0.2, 1.0, seconds)["verdict"] for seconds in (240, 1_800)]
    assert verdicts == ["not_run", "fail"]


def test_a_scenario_that_was_not_run_has_lines() -> None:
    lines = rows({})
    assert len(lines) == sum(len(one.checks) for one in SCENARIOS.values())
    assert {one["verdict"] for one in lines} == {"not_run"}
    assert failed(lines) == []
    assert len({one["id"] for one in lines}) == len(lines)


# -- models ------------------------------------------------------------------------------------------------


def test_the_departure_model_matches_the_specifications_points() -> None:
    assert leaving(10) == pytest.approx(0.15)
    assert leaving(30) == pytest.approx(0.60)
    assert leaving(0) == 0
    assert leaving(3) < leaving(5) < leaving(60) < 1


def test_the_departure_rate_counts_unanswered_requests_as_left() -> None:
    assert departure_rate([]) is None
    assert departure_rate([10, 30]) == pytest.approx(0.375)
    assert departure_rate([10], unanswered=1) == pytest.approx((0.15 + 1) / 2)


def test_capacity_is_scaled_in_proportion() -> None:
    processes = {"edge": {"cores": 0.2}, "generation": {"cores": 0.5}, "driver-0": {"cores": 0.9}}
    model = capacity(1_000, 100, processes)
    assert model == {"per_1000_connections": {"edge": 0.2}, "per_100_lps_a_minute": {"generation": 0.5}}
    assert carried(model, 10_000, 1_000) == {"edge": 2.0, "generation": 5.0}
    assert (instances(0.1), instances(0.7), instances(0.71), instances(5.0)) == (1, 1, 2, 8)
    use = {"machine_cores": 1.95, "processes": {"edge": {"cores": 0.95}, "kafka": {"cores": 0.97}}}
    assert ran_out(use, 2) == ["processor", "edge's core"]
    assert ran_out({"machine_cores": 1.0, "processes": {}}, 2) == []


# -- faults and counting -----------------------------------------------------------------------------------


def test_faults_follow_the_seed_one_per_minute_each_kind_once() -> None:
    found = planned(5, 480)
    assert [one.name for one in found] == [one.name for one in planned(5, 480)]
    assert {one.name for one in found} == set(AWAY_S)
    assert [one.at_s for one in found] == [20 + 60 * number for number in range(8)]
    assert [one.name for one in found] != [one.name for one in planned(6, 480)]
    assert planned(5, 30) == []


def test_losses_and_duplicates_do_not_cancel_out() -> None:
    difference = compare({"a": {"click": 5, "move": 5}}, {"a": {"click": 4, "move": 6}}, {})
    assert (difference.acknowledged, difference.counted, difference.lost, difference.doubled) == (10, 10, 1, 1)


def test_unanswered_events_may_be_counted_or_not() -> None:
    unresolved = {"a": {"click": 2}}
    assert compare({"a": {"click": 5}}, {"a": {"click": 7}}, unresolved).doubled == 0
    assert compare({"a": {"click": 5}}, {"a": {"click": 8}}, unresolved).doubled == 1
    assert compare({"a": {"click": 5}}, {"a": {"click": 4}}, unresolved).lost == 1
    assert compare({}, {"b": {"click": 1}}, {}).doubled == 1


# -- visitors and drivers ----------------------------------------------------------------------------------


def test_a_visits_beacons_are_valid_and_in_order() -> None:
    for visit in pool(3, 40):
        assert SHORTEST <= len(visit) <= LONGEST
        beacons = [
            decode_beacon(cut.body(b"2b1f5e4e-5d0a-4b8e-9a86-0b8a2fd6e0c1", 10**12 - cut.span_ms, b"demo-page"))
            for cut in visit
        ]
        assert [one.seq for one in beacons] == list(range(len(visit)))
        assert {one.lp_id for one in beacons} == {"demo-page"}
        assert {one.t0 + one.dt[-1] for one in beacons} == {10**12}
        assert [Counter(one.type) for one in beacons] == [cut.letters for cut in visit]
        depths = [one.depth for one in beacons]
        assert depths[0] == 0 and depths == sorted(depths)


def part(connections: int, *, by_locust: bool = False) -> Part:
    return Part("http://e", "http://a", "t", "demo", ["demo-1"], connections, 1, 10, 100, 0, 7, 9, "", 5, by_locust)


def test_the_load_is_split_without_losing_a_connection(tmp_path: Path) -> None:
    parts = split(part(10_001), tmp_path)
    assert [(one.number, one.connections, one.per_minute) for one in parts] == [(0, 5_001, 100), (1, 5_000, 0)]
    assert [(one.connections, one.per_minute) for one in split(part(20), tmp_path)] == [(20, 100)]


def test_the_applications_beside_locust_have_a_driver_of_their_own(tmp_path: Path) -> None:
    parts = split(part(5_001, by_locust=True), tmp_path)
    assert [(one.number, one.by_locust) for one in parts] == [(0, False), (1, True), (2, True)]
    assert [(one.connections, one.per_minute) for one in parts] == [(0, 100), (2_501, 0), (2_500, 0)]


def test_the_notes_of_drivers_are_merged() -> None:
    one = {
        "at": {"beacon": [0.1]}, "ms": {"beacon": [5.0]}, "errors": {"beacon": {"server": 1}}, "error_at": [0.1],
        "sent": {"beacon": 100}, "received": {}, "acknowledged": {"demo-1": {"c": 2, "s": 1}}, "unresolved": {},
        "lps": [{"id": "x", "asked": True}], "late_ms": [1.0], "cpu_s": 1.0, "seconds": 10.0,
    }  # fmt: skip
    whole = merged([one, one])
    assert whole.ms["beacon"].tolist() == [5.0, 5.0]
    assert whole.errors["beacon"]["server"] == 2
    assert whole.acknowledged == {"demo-1": {"click": 4, "scroll": 2}}
    assert (whole.cpu_s, whole.seconds, len(whole.lps)) == (2.0, 10.0, 2)


# -- figures -----------------------------------------------------------------------------------------------


def test_percentiles_use_the_nearest_rank() -> None:
    assert spread(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100, "count": 100}
    assert spread([]) == {}


def test_an_outage_lasts_from_a_failure_to_the_next_answer() -> None:
    probes = [
        (1.0, "page", True),
        (2.0, "page", False),
        (3.0, "beacon", True),
        (4.0, "page", True),
        (5.0, "page", False),
    ]
    assert outages(probes) == [(2.0, 4.0), (5.0, 5.0)]


def test_memory_growth_and_slowdown_are_computed() -> None:
    samples = [Sample(at, 0.0, {"edge": Use(memory=100 + (at >= 80) * 25)}) for at in range(100)]
    assert memory_growth(samples) == pytest.approx(0.25)
    assert memory_growth(samples[:10]) is None
    at, ms = np.arange(90.0), np.where(np.arange(90) < 60, 10.0, 20.0)
    assert slowdown(at, ms, 90) == pytest.approx(2.0)


# -- the report --------------------------------------------------------------------------------------------


def run_of(name: str, scale: float = 1.0) -> dict[str, Any]:
    """Return figures in the shape of `measures.figures`."""
    scenario = SCENARIOS[name]
    process = {
        "cores": 0.3, "memory_mb": {"first": 200, "last": 210, "peak": 220}, "disk_kb_s": {"read": 0.0, "written": 5.0},
        "network_kb_s": {"received": 50.0, "sent": 20.0},
    }  # fmt: skip
    milliseconds = {"p50": 4.0, "p95": 9.0, "p99": 12.0, "max": 80.0, "count": 1000}
    times = {"p50": 0.06, "p95": 3.41, "p99": 3.6, "max": 4.0, "count": 300}
    processes = {"edge": process, "heatmap": process, "generation": process, "driver-0": process}
    measures = {check.measure: check.limit * (scale if check.sized else 1) for check in scenario.checks}
    return {
        "scenario": name, "scale": scale, "seconds": 180.0, "interrupted": False, "began": "2026-11-24 17:00 UTC",
        "place": "embedded stack", "models": "simulator", "warmed": "none",
        "versions": {}, "machine": {"cores": 2, "memory_gb": 24},
        "asked": {"connections": 1000, "by_locust": 900, "per_minute": 100, "seconds": 180, "ramp_s": 10, "seed": 1},
        "kinds": {"beacon": {"ms": milliseconds, "requests": 1000, "per_second": 200.0, "bytes_per_second": 150_000,
                             "errors": {"timeout": 0, "server": 1, "connection": 0, "refused": 0}}},
        "errors": {"requests": 1000, "total": 1, "timeout": 0, "server": 1, "connection": 0, "refused": 0,
                   "rate": 0.001},
        "throughput": {"requests_per_second": 200.0, "bytes_per_second": 150_000},
        "lps": {"asked": 300, "acknowledged": 300, "answered": 300, "lost": 0, "doubled": 0,
                "status": {"completed": 300}, "cache": {"l1": 200, "miss": 100}, "degraded_share": 0.0,
                "wait_s": times, "own_ms": milliseconds, "cost_jpy": times},
        "events": {"acknowledged": 5000, "counted": 5000, "lost": 0, "doubled": 0, "unresolved": 0},
        "queryable_s": times, "generator": {"cores": 0.3, "late_ms": milliseconds},
        "availability": {"probes": 360, "share": 1.0, "by_door": {"page": 1.0}, "outages_s": [[80.0, 82.5]]},
        "resources": {"processes": processes, "machine_cores": 1.4, "other_cores": 0.2, "cores": 2,
                      "sums": {"memory_mb": 880, "disk_written_kb_s": 20.0, "received_kb_s": 200.0, "sent_kb_s": 80.0}},
        "faults": [{"at_s": 20.0, "healed_s": 24.0, "text": "edge: SIGKILL <b>"}], "problems": ["a <script>"],
        "series": {"at": [0.0, 1.5], "requests": [200.0, 210.0], "errors": [0.0, 1.0], "beacon_p95_ms": [9.0, None],
                   "lp_wait_s": [[1.0, 3.4]], "connections": [[0.5, 1000]], "sampled_at": [1.0, 2.0],
                   "cores": {"edge": [0.3, 0.2]}, "memory_mb": {"edge": [200, 201]}},
        "ran_out": [], "capacity": capacity(1000, 100, processes), "measures": measures,
    }  # fmt: skip


@pytest.fixture
def report(tmp_path: Path) -> Path:
    for name, scale in (("normal", 1.0), ("limit", 0.5), ("chaos", 1.0)):
        keep(tmp_path, run_of(name, scale))
    write(tmp_path)
    return tmp_path


def test_a_written_report_can_be_read_back(report: Path) -> None:
    assert list(kept(report)) == ["normal", "limit", "chaos"]
    lines = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert {one["verdict"] for one in lines if one["scenario"] == "normal"} == {"pass"}
    assert {one["verdict"] for one in lines if one["scenario"] == "peak"} == {"not_run"}
    assert (report / "pictures" / "normal-lps.svg").read_text(encoding="utf-8").startswith("<svg")
    text = (report / "report.md").read_text(encoding="utf-8")
    for picture in re.findall(r"\]\((pictures/[^)]+)\)", text):
        assert (report / picture).exists()


@pytest.mark.parametrize("name", ["report.md", "report.ja.md"])
def test_every_table_row_has_the_same_columns(report: Path, name: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", (report / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        lines = table.strip().splitlines()
        assert re.fullmatch(r"\|(?:-+\|)+", lines[1].replace(" ", "")), table
        assert len({line.count("|") for line in lines}) == 1, table


def test_the_report_has_the_specifications_tables_and_sign_off(report: Path) -> None:
    text = (report / "report.ja.md").read_text(encoding="utf-8")
    for begin in JAPANESE_TABLE_ROWS:
        assert begin in text
    assert text.rstrip().endswith("承認日：____年____月____日")
    assert "承認者：____" in text
    assert "{{" not in text and "None" not in text


def test_a_pass_at_a_smaller_scale_shows_the_scale(report: Path) -> None:
    japanese = (report / "report.ja.md").read_text(encoding="utf-8")
    line = next(line for line in japanese.splitlines() if line.startswith("| 3. 限界負荷"))
    assert "| 0.5 | 合格（規模 0.5） |" in line
    english = (report / "report.md").read_text(encoding="utf-8")
    assert "scale 0.5" in english
    assert all("| 0.5 |" in line for line in english.splitlines() if line.startswith("| limit |"))


def test_a_run_of_another_schema_version_is_ignored(report: Path) -> None:
    path = report / "runs" / "limit.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"schema": 1', '"schema": 0'), encoding="utf-8")
    lines = write(report)
    assert list(kept(report)) == ["normal", "chaos"]
    assert {one["verdict"] for one in lines if one["scenario"] == "limit"} == {"not_run"}


def test_measured_texts_are_escaped(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    assert "a &lt;script&gt;" in text and "<script>" not in text
    assert "SIGKILL &lt;b&gt;" in text


def test_a_report_without_runs_renders() -> None:
    for name in ("report.md", "report.ja.md", "report.html"):
        assert render(name, {}, rows({}))


def test_numbers_and_shares_are_formatted_for_readers() -> None:
    assert [figure(one) for one in (None, 0, 3.14159, 1234.5, 10_000)] == ["–", "0", "3.14", "1,234", "10,000"]
    assert [share(one) for one in (1.0, 0.999, 0.9999, 0.05, 0.0, 4e-5)] == [
        "100 %",
        "99.9 %",
        "99.99 %",
        "5 %",
        "0 %",
        "0.004 %",
    ]


def test_a_chart_draws_lines_gaps_marks_and_escapes_names() -> None:
    drawn = chart(
        "<t>", "ms", [Line("a<b", [(0, 1.0), (1, None), (2, 3.0)]), Line("c", [])], marks=[(1, "edge")], limit=2
    )
    assert "&lt;t&gt;" in drawn and "a&lt;b" in drawn and "edge" in drawn
    assert drawn.count("M") >= 2
    assert [ceiling(one) for one in (1, 1.1, 3, 7, 0.03, 900)] == pytest.approx([1, 2, 5, 10, 0.05, 1000])


def test_an_interrupted_run_is_still_reported(tmp_path: Path) -> None:
    asked = Asked(SCENARIOS["spike"], 0.5, 60, 0, True, 1)
    place = Place(Settings(), "demo", "nowhere")
    probes = Probes(place, "demo-1", "demo-probe", 0.0)
    seen = Seen(
        at={"beacon": np.zeros(3)}, ms={"beacon": np.ones(3)}, errors={"beacon": Counter(server=2, connection=1)}
    )
    watch = Watch(dict, {})
    measured = Measured(asked, seen, probes, watch, (0.0, 0.0), [], interrupted=True)
    run = figures(measured) | {
        "began": "now",
        "place": "nowhere",
        "models": "none",
        "warmed": "none",
        "machine": {"cores": 2, "memory_gb": 1},
    }
    keep(tmp_path, run)
    lines = {one["measure"]: one for one in write(tmp_path) if one["scenario"] == "spike"}
    assert lines["connections"]["verdict"] == "not_run"
    assert lines["events_lost"]["verdict"] == "not_run", "no events were counted"
    assert run["errors"] == {
        "requests": 3, "total": 3, "timeout": 0, "server": 2, "connection": 1, "refused": 0, "rate": 1.0,
    }  # fmt: skip
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "**interrupted**" in text and "2,500 connections (2,500 by Locust, 0 by the asyncio driver)" in text


def test_runs_with_the_same_seed_have_different_ids() -> None:
    one, other = (Asked(SCENARIOS["normal"], 1, 60, 0, False, seed=5) for _ in range(2))
    assert one.seed == other.seed and one.run != other.run


class OneRow:
    """A stand-in for ClickHouse. Its answer is one row with the columns of the query."""

    async def rows(self, sql: str, _: object) -> list[dict[str, object]]:
        """Return one row for a page, with a count of 3 in each column."""
        return [{"lp_id": "lp"} | dict.fromkeys(re.findall(r" AS (\w+)", sql), 3)]


async def test_counted_events_have_the_kinds_that_visitors_send() -> None:
    counted = await counted_by_page(cast(ClickHouse, OneRow()), ["lp"])
    sent = {KIND_BY_LETTER[letter].value for letter in "crdmsgv"}
    assert counted == {"lp": Counter(dict.fromkeys(sent, 3))}
