"""The text of `docs/cost.md`, from the report of `lpstream cost`."""

from typing import Any

from infra.prices import PriceFile

HEAD = ["part", "instances", "of these must be up", "each", "partitions", "machine", "processor"]
OVERLAY = "infra/kubernetes/overlays/one-region"


def page(file: PriceFile, report: dict[str, Any]) -> str:
    """Return the text of `docs/cost.md`."""
    work, best = report["workload"], report["months"][0]
    text = [
        "# What a month costs",
        "",
        "`lpstream cost --markdown` makes this page from `infra/prices.toml`. It is an estimate, not a bill.",
        "",
        f"Capacity: {work['connections']:,.0f} pages open at once, {work['pages_a_minute']:,.0f} new pages a minute "
        "(the document's limit load).",
        f"Month: {work['visits_a_day']:,.0f} visits a day, {work['pages_a_month']:,.0f} pages; "
        f"{file.measured['hit_rate'].value:.0%} of the pages find their copy in the cache. "
        f"Prices of {file.dated}, ¥{file.jpy_per_usd:g} a dollar.",
        "",
        f"## Recommended: ¥{best['infrastructure_yen']:,.0f} a month, available {percent(best)}",
        "",
        *_recommended(best),
        *(f"{line}\n" for line in report["partitions"]),
        "## Compared",
        "",
        "With several regions, each must hold the largest share of the load: "
        f"{file.measured['largest_region_share'].value:.0%}.",
        "",
        *_months(report["months"]),
        "## Cost by cache hit rate",
        "",
        *_hit_rates(report["hit_rates"]),
        "## Cost by traffic",
        "",
        *_traffic(report["traffic"]),
        "## Inputs",
        "",
        *_inputs(file),
    ]
    return "\n".join(text)


def percent(row: dict[str, Any]) -> str:
    """Return the availability of a layout as text."""
    return "not computed" if row["availability"] is None else f"{row['availability']:.3%}"


def parts_of(row: dict[str, Any]) -> list[list[str]]:
    """Return a line for each part: name, instances, needed instances, size, machine, processor."""
    return [
        [
            name,
            f"{size['count']:g}",
            f"{size['needed']}",
            f"{size['vcpu']:g} vCPU, {size['gb']:g} GB" + (f", disk {size['disk_gb']:g} GB" if size["disk_gb"] else ""),
            f"{size['partitions'] or '–'}",
            size["machine"],
            "arm64" if size["arm"] else "x86",
        ]
        for name, size in row["runs"].items()
    ]


def _recommended(best: dict[str, Any]) -> list[str]:
    return [
        f"The smallest layout that holds the capacity with 99.9 %: `{OVERLAY}`. The processing is in one region.",
        "The pages are in the buckets of three regions. If the region fails, pages stay up, and beacons wait in",
        "browsers for 20 minutes. `lpstream cost --connections N --pages-a-minute N` recommends for another load.",
        "",
        *_table(HEAD, parts_of(best)),
        "A part holds the load with the instances that must be up: it has the cores, memory, disk, connections and",
        "partitions. One instance reads each partition of a topic. Instances fail independently (`node_availability`,",
        "`spot_availability`). lpstream's image is for x86, because faust-streaming has no wheel for Linux on arm64.",
        "The provider's own services (balancer, CDN, S3, network) are not in the percentage.",
        "",
    ]


def _inputs(file: PriceFile) -> list[str]:
    prices = [[k, f"{v.usd:g}", v.source, v.second or "**none found**"] for k, v in file.prices.items()]
    return [
        *_table(["price", "US dollars", "source", "second source"], prices),
        *_table(["figure", "value", "source"], [[k, f"{v.value:g}", v.source] for k, v in file.measured.items()]),
        "At run time, the caps of the tenants file apply (`lp_yen`, `day_yen`, `month_yen`).",
        "The alerts CostCap50, 80, 100 and CostPerPageHigh watch the same ¥2,000 a page (`docs/runbooks.md`).",
        "",
        "One host is a single point of failure. The plan's sizes are the document's: `infra/kubernetes/plan-sizes`.",
    ]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _months(months: list[dict[str, Any]]) -> list[str]:
    """Return a table with a row for each deployment, and a table of yen by line."""
    judged = [
        [
            row["option"],
            *(f"{each['value']:,.1f}: {each['verdict']}" for each in row["verdicts"]),
            "yes" if row["holds"] else f"no: {'; '.join(row['lacks'])}",
            percent(row),
        ]
        for row in months
    ]
    head = [f"{each['measure']} (limit {each['limit']:,.0f} {each['unit']})" for each in months[0]["verdicts"]]
    lines = [[name, *(f"{row['lines'][name]:,.0f}" for row in months)] for name in months[0]["lines"]]
    lines.append(["**infrastructure**", *(f"**{row['infrastructure_yen']:,.0f}**" for row in months)])
    lines.append(["model calls", *(f"{row['api_yen']:,.0f}" for row in months)])
    return [
        *_table(["deployment", *head, "holds the load", "available"], judged),
        *_table(["yen a month", *(row["option"] for row in months)], lines),
    ]


def _hit_rates(rates: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            f"{row['hit_rate']:.0%}",
            f"¥{row['api_yen']:,.0f}",
            f"¥{row['api_yen_per_lp']:.3f}",
            f"¥{row['api_yen_per_miss']:.2f}, ¥{row['api_yen_per_miss_high']:.2f}",
        ]
        for row in rates
    ]
    return _table(["hit rate", "model calls a month", "average per page", "per page that misses: fast, high"], rows)


def _traffic(traffic: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            row["option"],
            row["workload"],
            f"¥{row['infrastructure_yen']:,.0f}",
            f"¥{row['api_yen']:,.0f}",
            f"{row['storage_gb']:,.0f} GB",
            "yes" if all(judged["verdict"] == "pass" for judged in row["verdicts"]) else "no",
            "yes" if row["holds"] else "no",
        ]
        for row in traffic
    ]
    head = ["deployment", "workload", "infrastructure", "model calls", "stored", "within the plan", "holds the load"]
    return _table(head, rows)
