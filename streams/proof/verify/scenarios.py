"""The verification plan as data: the scenarios, their checks and limits.

The plan defines the first four (通常, ピーク, 限界, スパイク負荷). This project adds soak, chaos and rolling.
"""

from dataclasses import dataclass
from typing import Literal

Comparator = Literal[">=", "<="]
ServiceName = Literal["edge", "heatmap", "generation"]
FaultName = ServiceName | Literal["provider", "redis", "clickhouse", "s3", "kafka"]
# during the load: nothing, a kill or an outage every minute, or a restart of each service in turn
Trial = Literal["none", "chaos", "rolling"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the plan: a measure of `measures.py`, its unit and its limit.

    Shares are 0 to 1. A `sized` limit is multiplied by `--scale`. A `whole` check needs a run of the scenario's full
    time; a shorter run gives no verdict.
    """

    measure: str
    unit: str
    comparator: Comparator
    limit: float
    text: str
    japanese: str
    sized: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load at its full size.

    `ramp_s` is the time to open the connections (0: all at once), `seconds` the measured time after it, `within_s` the
    time in which an LP must be done.
    """

    name: str
    title: str
    japanese: str
    connections: int
    per_minute: float
    seconds: float
    ramp_s: float
    within_s: float
    checks: tuple[Check, ...]
    trial: Trial = "none"


def _connections(count: int) -> Check:
    return Check(
        "connections", "connections", ">=", count, f"{count:,} connections open", f"同時接続 {count:,}", sized=True
    )


def _pace(per_minute: float) -> Check:
    # a request that is due at the very end is not sent any more
    return Check(
        "lps_per_minute", "LPs/min", ">=", 0.97 * per_minute, f"{per_minute:,g} LPs requested per minute",
        f"LP生成 {per_minute:,g}件/分", sized=True,
    )  # fmt: skip


def _within(share: float, seconds: float) -> Check:
    text = "all LPs" if share == 1 else f"{share:.0%} of the LPs"
    japanese = "全て" if share == 1 else f"{share:.0%}が"
    return Check("lp_in_time", "share", ">=", share, f"{text} within {seconds:g} s", f"{japanese}{seconds:g}秒以内")


EXACT = (
    Check("events_lost", "events", "<=", 0, "no acknowledged event lost", "受領済みイベントの欠損 0"),
    Check("events_doubled", "events", "<=", 0, "no event counted twice", "イベントの二重計上 0"),
    Check("lps_lost", "LPs", "<=", 0, "no LP lost", "LPの欠損 0"),
    Check("lps_doubled", "LPs", "<=", 0, "no LP with two different results", "LPの二重生成 0"),
)
AVAILABLE = Check("availability", "share", ">=", 0.999, "availability 99.9 %", "可用性 99.9%")
QUERYABLE = Check(
    "queryable_p99_s", "s", "<=", 8.0, "event to queryable, p99 within 8 s", "イベント→集計可能 p99 8秒以内"
)
LEAVING = Check("departure_rate", "share", "<=", 0.15, "departure rate 15 % (model)", "離脱率 15%（モデル値）")
CACHE = (
    Check("cache_hit_rate", "share", ">=", 0.6, "60 % cache hits", "キャッシュヒット率 60%"),
    Check("hit_time_cut", "share", ">=", 0.8, "generation time 80 % shorter on hits", "生成時間短縮 平均80%"),
)
COST = Check("api_cost_jpy", "JPY/LP", "<=", 2_000, "most expensive LP 2,000 yen", "API使用料 1LPあたり2,000円以下")
STEADY = (AVAILABLE, QUERYABLE, LEAVING, *CACHE, COST, *EXACT)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "normal", "normal load", "通常負荷", 1_000, 100, 180, 10, 10,
            (_connections(1_000), _pace(100), _within(1.0, 10), *STEADY),
        ),
        Scenario(
            "peak", "peak load", "ピーク負荷", 5_000, 500, 180, 30, 10,
            (_connections(5_000), _pace(500), _within(0.95, 10), *STEADY),
        ),
        Scenario(
            "limit", "limit load", "限界負荷", 10_000, 1_000, 180, 60, 15,
            (_connections(10_000), _pace(1_000), _within(0.9, 15), *STEADY),
        ),
        Scenario(
            "spike", "spike", "スパイク負荷", 5_000, 0, 60, 0, 10,
            (
                _connections(5_000),
                Check("error_rate", "share", "<=", 0.05, "less than 5 % errors", "エラー率 5%未満"),
                *EXACT[:2],
            ),
        ),
        Scenario(
            "soak", "soak", "耐久", 1_000, 100, 1_800, 10, 10,
            (
                _connections(1_000), _pace(100), _within(1.0, 10), AVAILABLE, *EXACT,
                Check("memory_growth", "share", "<=", 0.1, "memory of the services grows by at most 10 %",
                      "サービスのメモリ増加 10%以内", whole=True),
                Check("slowdown", "ratio", "<=", 1.5, "p95 of the last third at most 1.5 times the first third's",
                      "応答p95の悪化 1.5倍以内", whole=True),
            ),
        ),
        Scenario(
            "chaos", "chaos", "障害注入", 5_000, 500, 480, 30, 10,
            (_connections(5_000), AVAILABLE, *EXACT),
            trial="chaos",
        ),
        Scenario(
            "rolling", "rolling restart", "ローリング再起動", 1_000, 100, 180, 10, 10,
            (
                _connections(1_000), _pace(100), _within(1.0, 10),
                Check("error_count", "requests", "<=", 0, "no failed request", "失敗したリクエスト 0"),
                AVAILABLE, QUERYABLE, *EXACT,
            ),
            trial="rolling",
        ),
    )
}  # fmt: skip

# chaos: the possible faults, and how many seconds each is away; a killed service is started again at once
AWAY_S: dict[FaultName, float] = {
    "edge": 0,
    "heatmap": 0,
    "generation": 0,
    "provider": 20,
    "redis": 10,
    "clickhouse": 20,
    "s3": 10,
    "kafka": 2,
}
FAULT_EVERY_S = 60.0
# rolling: seconds between two restarts; a restart takes up to 15 s
ROLL_EVERY_S = 30.0
# the first fault comes early, so that the last has time to heal
FIRST_FAULT_S = 20.0
