"""`lpstream cost`: the cost of a month, compared with the plan's limits."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.prices import PriceFile, load_prices
from processors.cost import Basis, Month, Option, Size, Workload, month, verdicts
from schemas.errors import LpstreamError
from streams.local.console import AsJson

HITS = (0.0, 0.3, 0.6, 0.68, 0.9)
FACTORS = (0.1, 1.0, 10.0)


def cost(
    workload: Annotated[str, typer.Option(help="Name of a workload in the price file.")] = "plan",
    prices: Annotated[Path | None, typer.Option(help="Price file; default: infra/prices.toml.")] = None,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/cost.md.")] = False,
) -> None:
    """Show the cost of a month in yen for each deployment, and whether it is within the plan."""
    file = load_prices(prices).content
    report = make_report(file, workload)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        typer.echo(page(file, report) if markdown else "\n".join(_summary(report)))


def basis_of(file: PriceFile) -> Basis:
    """Return the inputs of the calculation."""
    return Basis(
        jpy_per_usd=file.jpy_per_usd,
        usd={name: price.usd for name, price in file.prices.items()},
        measured={name: figure.value for name, figure in file.measured.items()},
        limits=file.limits.model_dump(),
        footprint={name: Size(part.count, part.vcpu, part.gb, part.disk_gb) for name, part in file.footprint.items()},
    )


def options_of(file: PriceFile) -> list[Option]:
    """Return the deployments that are compared."""
    return [
        Option(each.name, each.regions, None if each.vcpu is None else Size(1, each.vcpu, each.gb, each.disk_gb))
        for each in file.option
    ]


def make_report(file: PriceFile, workload: str) -> dict[str, Any]:
    """Return all months of the report; raise LpstreamError if the workload is not in the file."""
    workloads = {each.name: Workload(each.name, each.visits_a_day, each.pages_a_month) for each in file.workload}
    if workload not in workloads:
        raise LpstreamError(f"--workload {workload}: is not in the price file; there are {', '.join(workloads)}")
    basis, options, work = basis_of(file), options_of(file), workloads[workload]
    return {
        "dated": file.dated.isoformat(),
        "workload": asdict(work),
        "months": [_row(basis, month(basis, option, work)) for option in options],
        "hit_rates": [_row(basis, month(basis.with_hits(rate), options[-1], work)) for rate in HITS],
        "traffic": [_row(basis, month(basis, option, work.times(factor))) for option in options for factor in FACTORS],
    }


def _row(basis: Basis, total: Month) -> dict[str, Any]:
    judged = [asdict(each) | {"verdict": "pass" if each.passed else "fail"} for each in verdicts(basis, total)]
    return asdict(total) | {"infrastructure_yen": total.infrastructure_yen, "verdicts": judged}


def _summary(report: dict[str, Any]) -> list[str]:
    lines = [
        f"{report['workload']['name']}: {report['workload']['visits_a_day']:,.0f} visits a day, "
        f"{report['workload']['pages_a_month']:,.0f} pages a month (prices of {report['dated']})"
    ]
    for row in report["months"]:
        lines.append(
            f"\n{row['option']}: ¥{row['infrastructure_yen']:,.0f} a month, model calls ¥{row['api_yen']:,.0f}"
        )
        lines += [
            f"  {each['verdict']}  {each['measure']}: {each['value']:,.1f} {each['unit']}, limit {each['limit']:,.0f}"
            for each in row["verdicts"]
        ]
    return lines


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def page(file: PriceFile, report: dict[str, Any]) -> str:
    """Return the text of `docs/cost.md`."""
    work = report["workload"]
    text = [
        "# What a month costs",
        "",
        "`lpstream cost --markdown` makes this page from `infra/prices.toml`. It is an estimate, not a bill.",
        "",
        f"{work['visits_a_day']:,.0f} visits a day, {work['pages_a_month']:,.0f} pages a month; "
        f"{file.measured['hit_rate'].value:.0%} of the pages find their copy in the cache. "
        f"Prices of {file.dated}, ¥{file.jpy_per_usd:g} a dollar.",
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
        *_table(["price", "US dollars", "source"], [[k, f"{v.usd:g}", v.source] for k, v in file.prices.items()]),
        *_table(["figure", "value", "source"], [[k, f"{v.value:g}", v.source] for k, v in file.measured.items()]),
        "At run time, the caps of the tenants file apply (`lp_yen`, `day_yen`, `month_yen`).",
        "The alerts CostCap50, 80, 100 and CostPerPageHigh watch the same ¥2,000 a page (`docs/runbooks.md`).",
        "",
        "One host is a single point of failure. The fixed cost of a region is Redis with the plan's three nodes of",
        "16 GB and four ClickHouse servers. Both are far larger than this work needs: reduce them first to save money.",
    ]
    return "\n".join(text)


def _months(months: list[dict[str, Any]]) -> list[str]:
    """Return the tables of verdicts and of yen by line, with a column for each deployment."""
    options = [row["option"] for row in months]
    judged = [
        [
            first["measure"],
            f"{first['limit']:,.0f} {first['unit']}",
            *(f"{row['verdicts'][index]['value']:,.1f}: {row['verdicts'][index]['verdict']}" for row in months),
        ]
        for index, first in enumerate(months[0]["verdicts"])
    ]
    lines = [[name, *(f"{row['lines'][name]:,.0f}" for row in months)] for name in months[0]["lines"]]
    lines.append(["**infrastructure**", *(f"**{row['infrastructure_yen']:,.0f}**" for row in months)])
    lines.append(["model calls", *(f"{row['api_yen']:,.0f}" for row in months)])
    return [*_table(["the plan", "limit", *options], judged), *_table(["yen a month", *options], lines)]


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
        ]
        for row in traffic
    ]
    return _table(["deployment", "workload", "infrastructure", "model calls", "stored", "within the plan"], rows)
