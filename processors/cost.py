"""The cost model: a month's yen from prices, measured figures and work, and checks against the plan.

Amounts are yen (float, because they are estimates), storage is GB of 10^9 bytes, a month has 30 days.
"""

from dataclasses import dataclass, replace
from typing import Literal

from processors.layout import Machine, Part, Size, availability_of, layout, log_gb, one_host_lacks, shortages

HOURS, DAYS, GB = 730, 30, 1e9
HOT_DAYS, WARM_DAYS, LOG_DAYS, LOG_COPIES = 8, 24, 7, 3
FILES_PER_PAGE = 4

Tier = Literal["fast", "high"]
Processor = Literal["x86", "arm"]


@dataclass(frozen=True, slots=True)
class Option:
    """A way to run lpstream in a number of regions.

    `sizes` are the instances of each region: the document's own sizes, or one machine. None: the smallest instances
    that hold the load. The pages are in the buckets of `page_regions` regions.
    """

    name: str
    regions: int
    processor: Processor
    page_regions: int = 1
    sizes: dict[str, Size] | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """The most load: open pages (connections) and new pages a minute.

    A month has a share of it on average.
    """

    name: str
    connections: float
    pages_a_minute: float

    def times(self, factor: float) -> "Workload":
        """Return the workload multiplied by `factor`."""
        return Workload(f"{self.name} × {factor:g}", self.connections * factor, self.pages_a_minute * factor)


@dataclass(frozen=True, slots=True)
class Basis:
    """The inputs: US dollars by price, measured figures, the plan's limits, the parts of a region."""

    jpy_per_usd: float
    usd: dict[str, float]
    measured: dict[str, float]
    limits: dict[str, float]
    parts: dict[str, Part]

    def machines(self) -> dict[Machine, tuple[float, float]]:
        """Return availability and price factor of each kind of machine."""
        return {
            "on demand": (self.measured["node_availability"], 1.0),
            "spot": (self.measured["spot_availability"], self.measured["spot_price"]),
        }

    def visits_a_day(self, work: Workload) -> float:
        """Return the visits of an average day."""
        open_pages = work.connections / self.measured["peak_over_average"]
        return open_pages * 86_400 / self.measured["visit_s"]

    def pages_a_month(self, work: Workload) -> float:
        """Return the pages of an average month."""
        return work.pages_a_minute / self.measured["peak_over_average"] * DAYS * 1_440

    def with_hits(self, hit_rate: float) -> "Basis":
        """Return the basis with another share of pages whose copy is cached."""
        return replace(self, measured=self.measured | {"hit_rate": hit_rate})


@dataclass(frozen=True, slots=True)
class Month:
    """The cost of a month. `lines` are yen by item; `storage_gb` is the storage at its end.

    `runs` are the instances of a region, `lacks` says for what they are too small at the most load, and `availability`
    is None for a layout with other parts than ours.
    """

    option: str
    workload: str
    hit_rate: float
    runs: dict[str, Size]
    lacks: list[str]
    availability: float | None
    lines: dict[str, float]
    api_yen: float
    api_yen_per_lp: float
    api_yen_per_miss: float
    api_yen_per_miss_high: float
    storage_gb: float

    @property
    def holds(self) -> bool:
        """Whether the instances hold the most load."""
        return not self.lacks

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


def load_of(basis: Basis, work: Workload) -> dict[str, float]:
    """Return the most load by name, for `Part`. Each open page sends as often as it may."""
    return {
        "thousand_beacons_s": work.connections * basis.measured["beacons_per_connection_s"] / 1_000,
        "pages_s": work.pages_a_minute / 60,
        "kept_pages": basis.pages_a_month(work),
        "connections": work.connections,
        "hot_gb": stored_gb(basis, work)["hot"],
        "log_gb": log_gb(basis.parts, {name: part.size for name, part in basis.parts.items()}),
    }


def regional_load(basis: Basis, work: Workload, regions: int) -> dict[str, float]:
    """Return the most load of a region: the largest share, because all regions have the same sizes."""
    share = 1.0 if regions == 1 else basis.measured["largest_region_share"]
    return {name: value * share for name, value in load_of(basis, work).items()}


def sizes(basis: Basis, option: Option, work: Workload) -> dict[str, Size]:
    """Return the instances of one region: those of the option, or the smallest that hold the load."""
    if option.sizes is not None:
        return option.sizes
    return smallest_sizes(basis, regional_load(basis, work, option.regions))


def smallest_sizes(basis: Basis, load: dict[str, float]) -> dict[str, Size]:
    """Return the smallest instances that hold the load of a region."""
    return layout(basis.parts, load, basis.machines(), basis.limits["availability"])


def lacks(basis: Basis, runs: dict[str, Size], work: Workload, regions: int) -> list[str]:
    """Return a line for each thing that the instances of a region lack for its most load."""
    load = regional_load(basis, work, regions)
    if "machine" in runs:
        return one_host_lacks(basis.parts, smallest_sizes(basis, load), runs["machine"], load)
    return shortages(basis.parts, runs, load)


def stored_gb(basis: Basis, work: Workload) -> dict[str, float]:
    """Return the GB at the end of a month, by store.

    They are heatmaps of HOT_DAYS + WARM_DAYS, LOG_DAYS of the log in LOG_COPIES copies, and the month's pages.
    """
    events_a_day = basis.visits_a_day(work) * basis.measured["events_per_visit"]
    page_kb = basis.measured["page_kb"] + basis.measured["files_kb_per_page"]
    return {
        "hot": events_a_day * HOT_DAYS * basis.measured["hot_bytes_per_event"] / GB,
        "warm": events_a_day * WARM_DAYS * basis.measured["warm_bytes_per_event"] / GB,
        "log": events_a_day * LOG_DAYS * basis.measured["log_bytes_per_event"] * LOG_COPIES / GB,
        "pages": basis.pages_a_month(work) * page_kb * 1e3 / GB,
    }


def _machines_usd(basis: Basis, option: Option, runs: dict[str, Size]) -> dict[str, float]:
    """Return the US dollars of the machines in all regions."""
    usd, factors = basis.usd, basis.machines()
    paid = [
        (size, size.count * option.regions * HOURS * factors[size.machine][1], _suffix(option, size))
        for size in runs.values()
    ]
    return {
        "processors": sum(hours * size.vcpu * usd[f"vcpu_hour{kind}"] for size, hours, kind in paid),
        "memory": sum(hours * size.gb * usd[f"gb_hour{kind}"] for size, hours, kind in paid),
        "disks": sum(size.count * size.disk_gb for size in runs.values()) * option.regions * usd["disk_gb_month"],
        "load balancers": option.regions * basis.measured["balancers"] * usd["balancer_month"],
        "cluster and NAT": 0.0
        if "machine" in runs
        else option.regions * HOURS * (usd["cluster_hour"] + usd["nat_hour"]),
    }


def _suffix(option: Option, size: Size) -> str:
    return "_arm" if option.processor == "arm" and size.arm else ""


def _traffic_usd(basis: Basis, option: Option, work: Workload, stored: dict[str, float]) -> dict[str, float]:
    """Return the US dollars of buckets, CDN and transfers."""
    usd, measured = basis.usd, basis.measured
    visits, pages = basis.visits_a_day(work) * DAYS, basis.pages_a_month(work)
    raw_gb = visits * measured["events_per_visit"] * measured["raw_bytes_per_event"] / GB
    # 182 days of cold data: the average over the first year
    cold_gb = visits / DAYS * measured["events_per_visit"] * measured["warm_bytes_per_event"] * 182 / GB
    copies = option.page_regions - 1
    requests = visits * measured["requests_per_visit"]
    return {
        "S3": (stored["warm"] + stored["pages"] * option.page_regions) * usd["s3_gb_month"]
        + pages * FILES_PER_PAGE * option.page_regions * usd["s3_put"],
        "copies of pages to other regions": stored["pages"] * copies * usd["between_regions_gb"],
        "Glacier": cold_gb * usd["glacier_gb_month"],
        "CDN, bytes": visits * measured["visit_kb"] * 1e3 / GB * usd["egress_gb"],
        "CDN, requests": requests * usd["cdn_request"],
        "between zones": raw_gb * measured["zone_crossings"] * usd["between_zones_gb"],
    }


def month(basis: Basis, option: Option, work: Workload) -> Month:
    """Return the cost of a month of the work under an option."""
    runs, stored = sizes(basis, option, work), stored_gb(basis, work)
    lines = _machines_usd(basis, option, runs) | _traffic_usd(basis, option, work, stored)
    missed, each, pages = 1 - basis.measured["hit_rate"], per_miss_yen(basis), basis.pages_a_month(work)
    quorums = runs.keys() == basis.parts.keys()
    return Month(
        option=option.name,
        workload=work.name,
        hit_rate=basis.measured["hit_rate"],
        runs=runs,
        lacks=lacks(basis, runs, work, option.regions),
        availability=availability_of(basis.parts, runs, basis.machines()) if quorums else None,
        lines={name: value * basis.jpy_per_usd for name, value in lines.items()},
        api_yen=pages * missed * each,
        api_yen_per_lp=missed * each,
        api_yen_per_miss=each,
        api_yen_per_miss_high=per_miss_yen(basis, "high"),
        storage_gb=sum(stored.values()) + stored["pages"] * (option.page_regions - 1),
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
