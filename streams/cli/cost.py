"""`lpstream cost`: what a month costs, against the plan's limits."""

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
    workload: Annotated[str, typer.Option(help="Which month of the price file.")] = "plan",
    prices: Annotated[Path | None, typer.Option(help="Another price file; default: infra/prices.toml.")] = None,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/cost.md.")] = False,
) -> None:
    """Say what a month costs in each way to run it, in yen, and whether that is within the plan."""
    told = load_prices(prices).content
    report = make_report(told, workload)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        typer.echo(page(told, report) if markdown else "\n".join(_summary(report)))


def basis_of(told: PriceFile) -> Basis:
    """What is counted with."""
    return Basis(
        jpy_per_usd=told.jpy_per_usd,
        usd={name: one.usd for name, one in told.prices.items()},
        measured={name: one.value for name, one in told.measured.items()},
        limits=told.limits.model_dump(),
        footprint={name: Size(one.count, one.vcpu, one.gb, one.disk_gb) for name, one in told.footprint.items()},
    )


def options_of(told: PriceFile) -> list[Option]:
    """Ways to run it."""
    return [
        Option(one.name, one.regions, None if one.vcpu is None else Size(1, one.vcpu, one.gb, one.disk_gb))
        for one in told.option
    ]


def make_report(told: PriceFile, workload: str) -> dict[str, Any]:
    """Every month that the command tells of; LpstreamError when the workload is not in the file."""
    works = {one.name: Workload(one.name, one.visits_a_day, one.pages_a_month) for one in told.workload}
    if workload not in works:
        raise LpstreamError(f"--workload {workload}: there is none; there are {', '.join(works)}")
    basis, options, work = basis_of(told), options_of(told), works[workload]
    return {
        "dated": told.dated.isoformat(),
        "workload": asdict(work),
        "months": [_told(basis, month(basis, option, work)) for option in options],
        "hit_rates": [_told(basis, month(basis.with_hits(rate), options[-1], work)) for rate in HITS],
        "traffic": [_told(basis, month(basis, option, work.times(factor))) for option in options for factor in FACTORS],
    }


def _told(basis: Basis, found: Month) -> dict[str, Any]:
    judged = [asdict(one) | {"verdict": "pass" if one.passed else "fail"} for one in verdicts(basis, found)]
    return asdict(found) | {"infrastructure_yen": found.infrastructure_yen, "verdicts": judged}


def _summary(report: dict[str, Any]) -> list[str]:
    lines = [
        f"{report['workload']['name']}: {report['workload']['visits_a_day']:,.0f} visits a day, "
        f"{report['workload']['pages_a_month']:,.0f} pages a month (prices of {report['dated']})"
    ]
    for one in report["months"]:
        lines.append(
            f"\n{one['option']}: ¥{one['infrastructure_yen']:,.0f} a month, calls of models ¥{one['api_yen']:,.0f}"
        )
        lines += [
            f"  {each['verdict']}  {each['measure']}: {each['value']:,.1f} {each['unit']}, limit {each['limit']:,.0f}"
            for each in one["verdicts"]
        ]
    return lines


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def page(told: PriceFile, report: dict[str, Any]) -> str:
    """`docs/cost.md`."""
    work = report["workload"]
    text = [
        "# What a month costs",
        "",
        "Made by `lpstream cost --markdown` from `infra/prices.toml`, and compared by a test. An estimate, not a bill.",
        "",
        f"{work['visits_a_day']:,.0f} visits a day, {work['pages_a_month']:,.0f} pages a month; "
        f"{told.measured['hit_rate'].value:.0%} of the pages find their copy. "
        f"Prices of {told.dated}, ¥{told.jpy_per_usd:g} a dollar.",
        "",
        *_months(report["months"]),
        "## When copy is found more or less often",
        "",
        *_hit_rates(report["hit_rates"]),
        "## With less and more traffic",
        "",
        *_traffic(report["traffic"]),
        "## What it is counted with",
        "",
        *_table(["price", "US dollars", "source"], [[k, f"{v.usd:g}", v.source] for k, v in told.prices.items()]),
        *_table(["figure", "value", "source"], [[k, f"{v.value:g}", v.source] for k, v in told.measured.items()]),
        "The caps that hold at run time are the tenants file's (`lp_yen`, `day_yen`, `month_yen`).",
        "The alerts CostCap50, 80, 100 and CostPerPageHigh watch the same ¥2,000 a page (`docs/runbooks.md`).",
        "",
        "One host is a single point of failure. A region's fixed part is Redis of the plan's three nodes of 16 GB and",
        "four ClickHouse servers; both hold far more than this work needs, so smaller ones are the first saving.",
    ]
    return "\n".join(text)


def _months(months: list[dict[str, Any]]) -> list[str]:
    """Verdicts, then yen by line, a column for each way to run it."""
    options = [one["option"] for one in months]
    judged = [
        [
            first["measure"],
            f"{first['limit']:,.0f} {first['unit']}",
            *(f"{each['verdicts'][at]['value']:,.1f}: {each['verdicts'][at]['verdict']}" for each in months),
        ]
        for at, first in enumerate(months[0]["verdicts"])
    ]
    lines = [[name, *(f"{one['lines'][name]:,.0f}" for one in months)] for name in months[0]["lines"]]
    lines.append(["**infrastructure**", *(f"**{one['infrastructure_yen']:,.0f}**" for one in months)])
    lines.append(["calls of models", *(f"{one['api_yen']:,.0f}" for one in months)])
    return [*_table(["the plan", "limit", *options], judged), *_table(["yen a month", *options], lines)]


def _hit_rates(rates: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            f"{one['hit_rate']:.0%}",
            f"¥{one['api_yen']:,.0f}",
            f"¥{one['api_yen_per_lp']:.3f}",
            f"¥{one['api_yen_per_miss']:.2f}, ¥{one['api_yen_per_miss_high']:.2f}",
        ]
        for one in rates
    ]
    return _table(["hits", "calls of models a month", "a page on average", "a page that misses: fast, high"], rows)


def _traffic(traffic: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            one["option"],
            one["workload"],
            f"¥{one['infrastructure_yen']:,.0f}",
            f"¥{one['api_yen']:,.0f}",
            f"{one['storage_gb']:,.0f} GB",
            "yes" if all(judged["verdict"] == "pass" for judged in one["verdicts"]) else "no",
        ]
        for one in traffic
    ]
    return _table(["run as", "work", "infrastructure", "calls of models", "stored", "within the plan"], rows)
