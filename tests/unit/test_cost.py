"""`lpstream cost`: the arithmetic, the page in docs, and figures that match their source documents."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.prices import load_prices
from processors.cost import Basis, Option, Size, Workload, month, per_miss_yen, verdicts
from schemas.errors import LpstreamError, SettingError
from streams.__main__ import app
from streams.cli.cost import basis_of, make_report, options_of

ROOT = Path(__file__).parents[2]
PRICES = load_prices().content
# Round numbers: 1 event per beacon, 1,000 visits per day.
BASIS = Basis(
    jpy_per_usd=100.0,
    usd=dict.fromkeys(PRICES.prices, 0.0),
    measured=dict.fromkeys(PRICES.measured, 0.0) | {"events_per_beacon": 1.0, "calls_over_answers": 1.0},
    limits={"infrastructure_yen_month": 300_000, "api_yen_per_lp": 2_000, "storage_gb_month": 300},
    footprint={name: Size(1, 1, 1) for name in ("edge", "heatmap", "clickhouse", "generation")},
)
WORK = Workload("w", visits_a_day=1_000, pages_a_month=100)


def with_usd(**usd: float) -> Basis:
    return Basis(BASIS.jpy_per_usd, BASIS.usd | usd, BASIS.measured, BASIS.limits, BASIS.footprint)


def test_processors_cost_by_the_hour_in_every_region() -> None:
    found = month(with_usd(vcpu_hour=0.01), Option("two", 2), WORK)
    assert found.lines["processors"] == pytest.approx(2 * 4 * 730 * 0.01 * 100)
    assert found.infrastructure_yen == found.lines["processors"]


def test_more_load_needs_more_than_the_minimum_cores() -> None:
    measured = BASIS.measured | {
        "events_per_visit": 86_400,
        "edge_cores_per_1000_beacons": 1.0,
        "peak_over_average": 10,
    }
    basis = Basis(100.0, with_usd(vcpu_hour=0.01).usd, measured, BASIS.limits, BASIS.footprint)
    # 1,000 visits of 86,400 events are 1,000 beacons/s, 10,000 at the peak: ten cores, plus 50 %
    found = month(basis, Option("one", 1), WORK)
    assert found.lines["processors"] == pytest.approx((15 + 3) * 730 * 0.01 * 100)


def test_only_cache_misses_pay_for_tokens() -> None:
    measured = BASIS.measured | {"input_tokens_per_page": 1e6, "output_tokens_per_page": 2e6, "hit_rate": 0.75}
    basis = Basis(
        100.0,
        BASIS.usd | {"input_million_tokens": 1.0, "output_million_tokens": 3.0, "high_input_million_tokens": 20.0},
        measured,
        BASIS.limits,
        BASIS.footprint,
    )
    assert per_miss_yen(basis) == pytest.approx((1 + 2 * 3) * 100)
    found = month(basis, Option("one", 1), WORK)
    assert found.api_yen == pytest.approx(100 * 0.25 * 700)
    assert found.api_yen_per_miss_high == pytest.approx(2_000)
    assert verdicts(basis, found)[1].passed
    assert not verdicts(basis, month(basis, Option("one", 1), WORK))[1].value > 2_000


def test_storage_is_the_amount_at_the_end_of_a_month() -> None:
    measured = BASIS.measured | {"events_per_visit": 1_000, "hot_bytes_per_event": 10, "warm_bytes_per_event": 5}
    basis = Basis(100.0, BASIS.usd, measured, BASIS.limits, BASIS.footprint)
    assert month(basis, Option("one", 1), WORK).storage_gb == pytest.approx(1e6 * (8 * 10 + 24 * 5) / 1e9)


def test_exceeding_a_limit_fails_its_verdict() -> None:
    found = month(with_usd(vcpu_hour=1.2), Option("one", 1), WORK)
    infrastructure, _, storage = verdicts(BASIS, found)
    assert (infrastructure.passed, storage.passed) == (False, True)


def test_the_docs_page_equals_the_commands_output() -> None:
    printed = CliRunner().invoke(app, ["cost", "--markdown"])
    assert printed.exit_code == 0
    written = (ROOT / "docs" / "cost.md").read_text("utf-8")
    assert written == printed.stdout, "run `lpstream cost --markdown > docs/cost.md`"


def test_json_output_has_every_option_and_verdict() -> None:
    report = json.loads(CliRunner().invoke(app, ["cost", "--json", "--workload", "small"]).stdout)
    assert [one["option"] for one in report["months"]] == [one.name for one in options_of(PRICES)]
    assert {one["verdict"] for each in report["months"] for one in each["verdicts"]} <= {"pass", "fail"}
    costs = [one["api_yen"] for one in report["hit_rates"]]
    assert costs == sorted(costs, reverse=True) and costs[0] > costs[-1]


def test_an_unknown_workload_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(LpstreamError, match="there are small, plan"):
        make_report(PRICES, "large")


def test_a_misspelt_price_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    ours = (ROOT / "infra" / "prices.toml").read_text("utf-8")
    file.write_text(ours.replace("usd = 0.05056", "usb = 0.05056"), "utf-8")
    with pytest.raises(SettingError, match=r"prices\.vcpu_hour\.usd"):
        load_prices(file)


@pytest.mark.parametrize(
    ("name", "document", "words", "value"),
    [
        (
            "events_per_visit",
            "tiers",
            "2,000 visits a day on 20 pages, 1,658,689 events in 40 days",
            1_658_689 / 80_000,
        ),
        ("hot_bytes_per_event", "tiers", "| 20,000 | 81.8 | 12.3 | 11.0 | 6.80 (8.3 %) | 8.20 (10.0 %) |", 6.80),
        ("warm_bytes_per_event", "tiers", "8.20 (10.0 %)", 8.20),
        (
            "edge_cores_per_1000_beacons",
            "edge",
            "| cores: edge, broker, load generator | 0.66, 0.27, 0.23 | 0.48,",
            0.24,
        ),
        ("worker_cores_per_1000_beacons", "edge", "0.63 (worker)", 0.315),
        ("clickhouse_cores_per_1000_beacons", "edge", "| cores: worker, ClickHouse | – | 0.62, 0.45 |", 0.225),
        ("generation_core_s_per_page", "generation", "a page costs a worker 44 to 57 ms of processor time", 0.050),
        ("hit_rate", "generation", "| 68 % |", 0.68),
    ],
)
def test_figures_match_their_source_documents(name: str, document: str, words: str, value: float) -> None:
    assert words in (ROOT / "docs" / f"{document}.md").read_text("utf-8")
    assert basis_of(PRICES).measured[name] == pytest.approx(value, rel=0.01)
