"""The cost model: a month's yen from prices, measured figures and work, and checks against the plan.

Amounts are yen (float, because they are estimates), storage is GB of 10^9 bytes, a month has 30 days.
"""

from dataclasses import dataclass, replace
from typing import Literal

HOURS, DAYS, GB = 730, 30, 1e9
HOT_DAYS, WARM_DAYS, LOG_DAYS, LOG_COPIES = 8, 24, 7, 3
FILES_PER_PAGE = 4
HEADROOM = 1.5  # factor on measured cores, because the cores were fully busy during the measurements
SIZED = ("edge", "heatmap", "clickhouse", "generation")

Tier = Literal["fast", "high"]


@dataclass(frozen=True, slots=True)
class Size:
    """A type of instance: their number, and vCPU, GB of memory and GB of disk of each."""

    count: float
    vcpu: float
    gb: float
    disk_gb: float = 0.0


@dataclass(frozen=True, slots=True)
class Option:
    """A way to run lpstream: the footprint in a number of regions, or one machine of a given size."""

    name: str
    regions: int
    machine: Size | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """The work of a month."""

    name: str
    visits_a_day: float
    pages_a_month: float

    def times(self, factor: float) -> "Workload":
        """Return the workload multiplied by `factor`."""
        return Workload(f"{self.name} × {factor:g}", self.visits_a_day * factor, self.pages_a_month * factor)


@dataclass(frozen=True, slots=True)
class Basis:
    """The inputs: US dollars by price, measured figures, the plan's limits, the instances of one region."""

    jpy_per_usd: float
    usd: dict[str, float]
    measured: dict[str, float]
    limits: dict[str, float]
    footprint: dict[str, Size]

    def with_hits(self, hit_rate: float) -> "Basis":
        """Return the basis with another share of pages whose copy is cached."""
        return replace(self, measured=self.measured | {"hit_rate": hit_rate})


@dataclass(frozen=True, slots=True)
class Month:
    """The cost of a month. `lines` are yen by item; `storage_gb` is the storage at its end."""

    option: str
    workload: str
    hit_rate: float
    lines: dict[str, float]
    api_yen: float
    api_yen_per_lp: float
    api_yen_per_miss: float
    api_yen_per_miss_high: float
    storage_gb: float

    @property
    def infrastructure_yen(self) -> float:
        """The sum of all lines, without model calls, for which the plan has its own limit."""
        return sum(self.lines.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """The check of a figure against a limit of the plan."""

    measure: str
    value: float
    limit: float
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


def per_miss_yen(basis: Basis, tier: Tier = "fast") -> float:
    """Return the yen for model calls of one page without cached copy, including hedges and retries."""
    prefix = "high_" if tier == "high" else ""
    measured = basis.measured
    usd = (
        measured["input_tokens_per_page"] * basis.usd[f"{prefix}input_million_tokens"]
        + measured["output_tokens_per_page"] * basis.usd[f"{prefix}output_million_tokens"]
    ) / 1e6
    return usd * measured["calls_over_answers"] * basis.jpy_per_usd


def needed_cores(basis: Basis, work: Workload) -> dict[str, float]:
    """Return the cores that the month's peak needs in all regions together, with headroom."""
    measured = basis.measured
    peak = measured["peak_over_average"]
    events_s = work.visits_a_day * measured["events_per_visit"] / 86_400 * peak
    thousands = events_s / measured["events_per_beacon"] / 1_000
    pages_s = work.pages_a_month / (DAYS * 86_400) * peak
    cores = {
        "edge": thousands * measured["edge_cores_per_1000_beacons"],
        "heatmap": thousands * measured["worker_cores_per_1000_beacons"],
        "clickhouse": thousands * measured["clickhouse_cores_per_1000_beacons"],
        "generation": pages_s * measured["generation_core_s_per_page"],
    }
    return {name: value * HEADROOM for name, value in cores.items()}


def sizes(basis: Basis, option: Option, work: Workload) -> dict[str, Size]:
    """Return the instances by part: at least the footprint, and more where the peak needs it."""
    needed = needed_cores(basis, work)
    if option.machine is not None:
        count = max(1.0, sum(needed.values()) / option.machine.vcpu)
        return {"machine": replace(option.machine, count=count)}
    parts = {name: replace(size, count=size.count * option.regions) for name, size in basis.footprint.items()}
    for name in SIZED:
        size = parts[name]
        parts[name] = replace(size, count=max(size.count, needed[name] / size.vcpu))
    return parts


def stored_gb(basis: Basis, work: Workload) -> dict[str, float]:
    """Return the GB at the end of a month, by store.

    They are heatmaps of HOT_DAYS + WARM_DAYS, LOG_DAYS of the log in LOG_COPIES copies, and the month's pages.
    """
    events_a_day = work.visits_a_day * basis.measured["events_per_visit"]
    page_kb = basis.measured["page_kb"] + basis.measured["files_kb_per_page"]
    return {
        "hot": events_a_day * HOT_DAYS * basis.measured["hot_bytes_per_event"] / GB,
        "warm": events_a_day * WARM_DAYS * basis.measured["warm_bytes_per_event"] / GB,
        "log": events_a_day * LOG_DAYS * basis.measured["log_bytes_per_event"] * LOG_COPIES / GB,
        "pages": work.pages_a_month * page_kb * 1e3 / GB,
    }


def month(basis: Basis, option: Option, work: Workload) -> Month:
    """Return the cost of a month of the work under an option."""
    usd, runs, stored = basis.usd, sizes(basis, option, work), stored_gb(basis, work)
    disk = sum(size.count * size.disk_gb for size in runs.values())
    # 182 days of cold data: the average over the first year
    cold_gb = work.visits_a_day * basis.measured["events_per_visit"] * basis.measured["warm_bytes_per_event"] * 182 / GB
    lines = {
        "processors": sum(size.count * size.vcpu for size in runs.values()) * HOURS * usd["vcpu_hour"],
        "memory": sum(size.count * size.gb for size in runs.values()) * HOURS * usd["gb_hour"],
        "disks": disk * usd["disk_gb_month"],
        "S3": (stored["warm"] + stored["pages"]) * usd["s3_gb_month"]
        + work.pages_a_month * FILES_PER_PAGE * usd["s3_put"],
        "Glacier": cold_gb * usd["glacier_gb_month"],
        "CDN and traffic": work.visits_a_day * DAYS * basis.measured["visit_kb"] * 1e3 / GB * usd["egress_gb"],
        "load balancers": option.regions * usd["balancer_month"],
    }
    missed = 1 - basis.measured["hit_rate"]
    each = per_miss_yen(basis)
    return Month(
        option=option.name,
        workload=work.name,
        hit_rate=basis.measured["hit_rate"],
        lines={name: value * basis.jpy_per_usd for name, value in lines.items()},
        api_yen=work.pages_a_month * missed * each,
        api_yen_per_lp=missed * each,
        api_yen_per_miss=each,
        api_yen_per_miss_high=per_miss_yen(basis, "high"),
        storage_gb=sum(stored.values()),
    )


def verdicts(basis: Basis, found: Month) -> list[Verdict]:
    """Return the checks of the plan's three limits.

    The limit per page is checked for the most expensive page: one without cached copy, in the high tier.
    """
    limits = basis.limits
    return [
        Verdict("infrastructure a month", found.infrastructure_yen, limits["infrastructure_yen_month"], "yen"),
        Verdict("model calls for the dearest page", found.api_yen_per_miss_high, limits["api_yen_per_lp"], "yen"),
        Verdict("stored in a month", found.storage_gb, limits["storage_gb_month"], "GB"),
    ]
