"""`lpstream cost`: arithmetic, recommendation, the page in docs, and figures of their sources."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from page_requests import INDUSTRIES, full, html_of
from typer.testing import CliRunner

from infra.kafka.topics import load_topics
from infra.prices import load_prices
from processors.cost import Basis, Option, Workload, load_of, month, per_miss_yen, regional_load, sizes, verdicts
from processors.layout import Machine, Part, Size, availability_of, busiest, layout, shortages, smallest, up
from processors.pages.brief import brief_of
from processors.pages.curated import asset
from schemas.errors import LpstreamError, SettingError
from streams.__main__ import app
from streams.cli.cost import basis_of, make_report, options_of, work_of
from streams.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
PRICES = load_prices().content
# Round numbers: 1 event per beacon, 1,000 visits per day.
BASIS = Basis(
    jpy_per_usd=100.0,
    usd=dict.fromkeys(PRICES.prices, 0.0),
    measured=dict.fromkeys(PRICES.measured, 0.0)
    | dict.fromkeys(("events_per_beacon", "calls_over_answers", "peak_over_average", "visit_s", "spot_price"), 1.0),
    limits={
        "infrastructure_yen_month": 300_000,
        "api_yen_per_lp": 2_000,
        "storage_gb_month": 300,
        "availability": 0.999,
    },
    parts={name: Part("single", Size(1, 1, 1), {}) for name in ("edge", "heatmap", "clickhouse", "generation")},
)
WORK = Workload("w", connections=1_000 / 86_400, pages_a_minute=100 / 43_200)
MACHINES: dict[Machine, tuple[float, float]] = {"on demand": (0.995, 1.0), "spot": (0.98, 0.5)}


def with_usd(**usd: float) -> Basis:
    return replace(BASIS, usd=BASIS.usd | usd)


def option(name: str = "one", regions: int = 1) -> Option:
    return Option(name, regions, "x86")


def test_processors_cost_by_the_hour_in_every_region() -> None:
    found = month(with_usd(vcpu_hour=0.01), option("two", 2), WORK)
    assert found.lines["processors"] == pytest.approx(2 * 4 * 730 * 0.01 * 100)
    assert found.infrastructure_yen == found.lines["processors"]


def test_arm_and_spot_have_their_own_prices() -> None:
    basis = replace(with_usd(vcpu_hour=1.0, vcpu_hour_arm=0.5), measured=BASIS.measured | {"spot_price": 0.4})
    runs = {"edge": Size(3, 1, 0, machine="spot"), "redis": Size(2, 1, 0)}
    found = month(basis, Option("o", 1, "arm", 1, runs), WORK)
    assert found.lines["processors"] == pytest.approx((3 * 0.4 + 2) * 730 * 0.5 * 100)


def test_more_load_needs_more_instances() -> None:
    edge = Part("pool", Size(1, 0.5, 0.5), {"thousand_beacons_s": 0.24})
    # 10,000 beacons/s: 2.4 cores, 3.6 with headroom, so 8 of half a core must be up
    found = smallest(edge, {"thousand_beacons_s": 10.0}, MACHINES, 0.999)
    assert found.needed == 8
    assert up(int(found.count), 8, 0.995) >= 0.999 > up(int(found.count) - 1, 8, 0.995)


def test_a_node_of_a_quorum_holds_the_whole_load() -> None:
    store = Part("quorum", Size(3, 0.5, 4), {"thousand_beacons_s": 0.5}, nodes=3)
    found = smallest(store, {"thousand_beacons_s": 2.0}, MACHINES, 0.999)
    assert (found.count, found.needed, found.vcpu) == (3, 2, 2.0)


def test_redis_has_memory_for_its_data() -> None:
    basis = basis_of(PRICES)
    for factor in (1, 10):
        load = load_of(basis, work_of(PRICES, "plan").times(factor))
        redis = layout(basis.parts, load, basis.machines(), 0.999)["redis"]
        assert redis.gb * 0.75 >= basis.parts["redis"].data_gb(load) > 0
    configured = (ROOT / "infra" / "kubernetes" / "base" / "redis.conf").read_text("utf-8")
    assert (
        "maxmemory 3gb" in configured and sizes(basis, options_of(PRICES)[0], work_of(PRICES, "plan"))["redis"].gb < 4.1
    )


def test_a_stateful_part_never_runs_on_spot() -> None:
    for name, size in sizes(basis_of(PRICES), options_of(PRICES)[0], work_of(PRICES, "plan")).items():
        assert size.machine == "on demand" or PRICES.part[name].spot, name
    assert not any(part.spot for part in PRICES.part.values() if part.disk_gb)


@pytest.mark.parametrize("connections", [1, 140, 1_000, 10_000, 100_000, 1_000_000])
def test_a_recommendation_holds_its_load_with_99_9_percent(connections: float) -> None:
    basis = basis_of(PRICES)
    load = load_of(basis, Workload("w", connections, connections / 100))
    found = layout(basis.parts, load, basis.machines(), 0.999)
    assert availability_of(basis.parts, found, basis.machines()) >= 0.999
    for name, part in basis.parts.items():
        least = found[name].vcpu * (found[name].needed if part.kind == "pool" else 1)
        assert part.kind == "single" or least >= part.cores(load), name
    assert not shortages(basis.parts, found, load)
    for name in ("heatmap", "generation"):
        assert busiest(found[name].needed, found[name].partitions) * basis.parts[name].cores(load) <= found[name].vcpu


def test_a_recommendation_for_thirty_times_the_plan_has_all_that_it_needs() -> None:
    report = make_report(PRICES, work_of(PRICES, "plan", 300_000, 3_000))
    runs = report["months"][0]["runs"]
    assert report["months"][0]["holds"] and runs["heatmap"]["partitions"] == runs["heatmap"]["needed"] == 6
    assert report["partitions"][0].startswith("heatmap needs 6 partitions of heatmap.events.")
    assert runs["redis"]["disk_gb"] > runs["redis"]["gb"] and runs["clickhouse"]["disk_gb"] > 2 * 49
    assert runs["kafka"]["disk_gb"] * 0.8 > 6 * 35 + 12 * 4
    assert not make_report(PRICES, work_of(PRICES, "plan"))["partitions"]


@pytest.mark.parametrize(
    ("name", "change", "lack"),
    [
        ("redis", {"gb": 2.0}, "redis: has 1.5 GB of memory for data"),
        ("redis", {"disk_gb": 4.0}, "redis: has 4 GB of disk"),
        ("redis", {"vcpu": 0.01}, "redis: has 0.01 vCPU"),
        ("clickhouse", {"disk_gb": 4.0}, "clickhouse: has 4 GB of disk"),
        ("kafka", {"disk_gb": 150.0}, "kafka: has 150 GB of disk"),
        ("heatmap", {"vcpu": 0.05, "count": 9}, "heatmap: 3 partitions are too few"),
        ("heatmap", {"vcpu": 0.1, "count": 2}, "heatmap: has 0.1 vCPU for the busiest instance"),
        ("heatmap", {"partitions": 30}, "kafka: has 200 GB of disk"),
        ("edge", {"vcpu": 9.0, "count": 1}, ""),
        ("edge", {"count": 1}, "edge: has 0.5 vCPU"),
    ],
)
def test_sizes_that_are_too_small_for_the_plan_do_not_hold_it(name: str, change: dict[str, float], lack: str) -> None:
    basis, work = basis_of(PRICES), work_of(PRICES, "plan")
    runs = sizes(basis, options_of(PRICES)[0], work)
    found = month(basis, Option("o", 1, "arm", 1, runs | {name: replace(runs[name], **change)}), work)
    assert found.holds == (not lack) and lack in "\n".join(found.lacks)


def test_an_edge_has_a_most_of_connections() -> None:
    basis, runs = basis_of(PRICES), {"edge": Size(1, 64, 64)}
    assert not month(basis, Option("o", 1, "arm", 1, runs), Workload("w", 12_000, 0)).lacks
    lacks = month(basis, Option("o", 1, "arm", 1, runs), Workload("w", 12_001, 0)).lacks
    assert lacks == ["edge: has 12,000 connections in all instances, and needs 12,001.0"]
    assert PRICES.part["edge"].connections == Settings().edge_max_connections


@pytest.mark.parametrize("change", [{"vcpu": 1.0}, {"gb": 16.0}, {"disk_gb": 400.0}])
def test_one_host_holds_the_plan_with_cores_memory_and_disk(change: dict[str, float]) -> None:
    basis, work = basis_of(PRICES), work_of(PRICES, "plan")
    host = next(each for each in options_of(PRICES) if each.name.startswith("one host"))
    assert host.sizes is not None and month(basis, host, work).holds
    smaller = {"machine": replace(host.sizes["machine"], **change)}
    assert len(month(basis, replace(host, sizes=smaller), work).lacks) == 1


def test_partitions_and_their_disk_are_those_of_the_topics() -> None:
    topics = {topic.name: topic for topic in load_topics()}
    for part in PRICES.part.values():
        for name in filter(None, part.topic.replace(" and ", ", ").split(", ")):
            assert topics[name].partitions == part.partitions
    bounded = [each for each in topics.values() if "retention.bytes" in each.config]
    most = [int(one.config["retention.bytes"]) + int(one.config.get("segment.bytes", 2**30)) for one in bounded]
    whole = sum(size * topic.partitions for size, topic in zip(most, bounded, strict=True)) / 1e9
    assert sum(part.partitions * part.partition_gb for part in PRICES.part.values()) == pytest.approx(whole, rel=0.01)


def test_no_smaller_pool_would_do() -> None:
    basis = basis_of(PRICES)
    load = load_of(basis, work_of(PRICES, "plan"))
    goal = 0.999 ** (1 / sum(part.kind != "single" for part in basis.parts.values()))
    for name, part in basis.parts.items():
        found = smallest(part, load, basis.machines(), goal)
        if part.kind == "pool" and found.count > part.nodes:
            assert up(int(found.count) - 1, found.needed, basis.machines()[found.machine][0]) < goal, name


def test_the_recommended_layout_is_within_the_plan() -> None:
    best = make_report(PRICES, work_of(PRICES, "plan"))["months"][0]
    assert (best["workload"], best["holds"]) == ("plan", True)
    assert {each["verdict"] for each in best["verdicts"]} == {"pass"}
    assert best["infrastructure_yen"] <= 300_000
    assert best["availability"] >= 0.999


def test_the_layouts_load_is_the_documents_limit_load() -> None:
    work = work_of(PRICES, "plan")
    assert (work.connections, work.pages_a_minute) == (10_000, 100)
    assert load_of(basis_of(PRICES), work)["thousand_beacons_s"] == pytest.approx(2.0)
    assert (options_of(PRICES)[0].regions, options_of(PRICES)[0].page_regions) == (1, 3)


def test_a_given_load_replaces_the_workloads() -> None:
    printed = CliRunner().invoke(app, ["cost", "--json", "--connections", "50000", "--pages-a-minute", "10"])
    report = json.loads(printed.stdout)
    assert (report["workload"]["connections"], report["workload"]["pages_a_minute"]) == (50_000, 10)
    assert report["months"][0]["runs"]["edge"]["needed"] == 6


@pytest.mark.parametrize("words", [["--connections", "0"], ["--connections", "nan"], ["--pages-a-minute", "1e12"]])
def test_a_load_out_of_range_is_refused(words: list[str]) -> None:
    assert CliRunner().invoke(app, ["cost", *words]).exit_code == 2


def test_only_cache_misses_pay_for_tokens() -> None:
    measured = BASIS.measured | {"input_tokens_per_page": 1e6, "output_tokens_per_page": 2e6, "hit_rate": 0.75}
    usd = {"input_million_tokens": 1.0, "output_million_tokens": 3.0, "high_input_million_tokens": 20.0}
    basis = replace(with_usd(**usd), measured=measured)
    assert per_miss_yen(basis) == pytest.approx((1 + 2 * 3) * 100)
    found = month(basis, option(), WORK)
    assert found.api_yen == pytest.approx(100 * 0.25 * 700)
    assert found.api_yen_per_miss_high == pytest.approx(2_000)
    assert verdicts(basis, found)[1].passed
    assert not verdicts(basis, month(basis, option(), WORK))[1].value > 2_000


def test_storage_is_the_amount_at_the_end_of_a_month() -> None:
    measured = BASIS.measured | {"events_per_visit": 1_000, "hot_bytes_per_event": 10, "warm_bytes_per_event": 5}
    basis = replace(BASIS, measured=measured)
    assert month(basis, option(), WORK).storage_gb == pytest.approx(1e6 * (8 * 10 + 24 * 5) / 1e9)


def test_copies_of_pages_in_other_regions_are_stored_too() -> None:
    basis = basis_of(PRICES)
    work, (best, *_) = work_of(PRICES, "plan"), options_of(PRICES)
    one, three = (month(basis, replace(best, page_regions=count), work) for count in (1, 3))
    assert three.storage_gb - one.storage_gb == pytest.approx(2 * 432_000 * 80e3 / 1e9)
    assert three.lines["copies of pages to other regions"] > one.lines["copies of pages to other regions"] == 0


def test_a_region_holds_the_largest_share_of_the_load() -> None:
    share = PRICES.measured["largest_region_share"].value
    production = (ROOT / "docs" / "production.md").read_text("utf-8")
    assert share == 0.6 and "regions 60/30/10" in production, "as the DNS weights split the visitors"
    basis, work, plan = basis_of(PRICES), work_of(PRICES, "plan"), options_of(PRICES)[-1]
    whole = load_of(basis, work)
    for regions, expected in ((1, 1.0), (2, share), (3, share)):
        assert regional_load(basis, work, regions) == {name: value * expected for name, value in whole.items()}
    assert plan.regions == 3 and month(basis, plan, work).holds
    # an even split would hold it
    assert not month(basis, plan, work.times(3)).holds and not month(basis, plan, work.times(10)).holds


def test_exceeding_a_limit_fails_its_verdict() -> None:
    found = month(with_usd(vcpu_hour=1.2), option(), WORK)
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
        work_of(PRICES, "large")


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
            "| cores: edge, broker, load generator | 0.29, 0.22, 0.19 | 0.33,",
            0.167,
        ),
        ("worker_cores_per_1000_beacons", "edge", "| cores: worker, ClickHouse | – | 0.13, 0.13 |", 0.066),
        ("clickhouse_cores_per_1000_beacons", "edge", "| cores: worker, ClickHouse | – | 0.13, 0.13 |", 0.065),
        ("kafka_cores_per_1000_beacons", "edge", "| 0.29, 0.22, 0.19 | 0.33, 0.23,", 0.117),
        ("raw_bytes_per_event", "tiers", "| 20,000 | 81.8 |", 81.8),
        ("beacons_per_connection_s", "edge", "Each connection posts a beacon of 20 events every 5 s.", 0.2),
        ("generation_core_s_per_page", "generation", "a page costs a worker 44 to 57 ms of processor time", 0.050),
        ("hit_rate", "generation", "| 63 % |", 0.63),
    ],
)
def test_figures_match_their_source_documents(name: str, document: str, words: str, value: float) -> None:
    assert words in (ROOT / "docs" / f"{document}.md").read_text("utf-8")
    assert basis_of(PRICES).measured[name] == pytest.approx(value, rel=0.01)


def test_a_visit_is_at_most_as_large_as_priced() -> None:
    """Count a visit that loads the largest pictures, without compression."""
    snippet = len((ROOT / "streams" / "edge" / "static" / "t.js").read_bytes())
    visits = []
    for industry in INDUSTRIES:
        request = full(industry)
        drawings = brief_of(request).drawings
        widths = {"hero": 1600, "detail": 960}
        pictures = sum(len(asset(drawing, role, widths[role], "avif").body) for role, drawing in drawings.items())
        visits.append(len(html_of(request).encode()) + pictures + snippet)
    assert sum(visits) / len(visits) / 1_000 == pytest.approx(PRICES.measured["visit_kb"].value / 2, rel=0.1)


def test_a_part_without_a_figure_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    ours = (ROOT / "infra" / "prices.toml").read_text("utf-8")
    file.write_text(ours.replace('beacons = "edge_cores_per_1000_beacons"', 'beacons = "edge_cores"'), "utf-8")
    with pytest.raises(SettingError, match="edge_cores"):
        load_prices(file)


def test_the_page_marks_prices_without_a_second_source() -> None:
    page = (ROOT / "docs" / "cost.md").read_text("utf-8")
    for name, price in PRICES.prices.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        assert row.endswith(f"| {price.second or '**none found**'} |")
