"""`lpstream cost`: the cost of a month, compared with the plan's limits."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.prices import PriceFile, load_prices
from processors.cost import Basis, Month, Option, Workload, month, verdicts
from processors.layout import HEADROOM, Part, Size
from schemas.errors import LpstreamError
from streams.cli.cost_page import page, parts_of, percent
from streams.local.console import AsJson

HITS = (0.0, 0.3, 0.6, 0.68, 0.9)
FACTORS = (0.1, 1.0, 10.0)


def cost(
    workload: Annotated[str, typer.Option(help="Name of a workload in the price file.")] = "plan",
    connections: Annotated[
        float | None, typer.Option(min=1, max=1_000_000, help="Most pages open at once, instead of the workload's.")
    ] = None,
    pages_a_minute: Annotated[
        float | None, typer.Option(min=0, max=100_000, help="Most new pages a minute, instead of the workload's.")
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Price file; default: infra/prices.toml.")] = None,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/cost.md.")] = False,
) -> None:
    """Recommend the smallest layout for a load, and show a month's cost in yen beside other deployments."""
    file = load_prices(prices).content
    report = make_report(file, work_of(file, workload, connections, pages_a_minute))
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        typer.echo(page(file, report) if markdown else "\n".join(_summary(report)))


def work_of(
    file: PriceFile, name: str, connections: float | None = None, pages_a_minute: float | None = None
) -> Workload:
    """Return the workload with that name, or with other figures.

    Raise LpstreamError if the name is not in the file.
    """
    workloads = {each.name: each for each in file.workload}
    if name not in workloads:
        raise LpstreamError(f"--workload {name}: is not in the price file; there are {', '.join(workloads)}")
    usual = workloads[name]
    if connections is not None or pages_a_minute is not None:
        name = "given"
    return Workload(
        name,
        usual.connections if connections is None else connections,
        usual.pages_a_minute if pages_a_minute is None else pages_a_minute,
    )


def basis_of(file: PriceFile) -> Basis:
    """Return the inputs of the calculation."""
    measured = {name: figure.value for name, figure in file.measured.items()}
    parts = {}
    for name, part in file.part.items():
        work = {"thousand_beacons_s": part.beacons, "pages_s": part.pages}
        cores = {load: measured[figure] for load, figure in work.items() if figure}
        size = Size(part.nodes, part.vcpu, part.gb, part.disk_gb, arm=part.arm, partitions=part.partitions)
        memory = _state(measured) if part.holds_state else {}
        most = {} if part.connections is None else {"connections": part.connections}
        disk = {load: gb * HEADROOM * measured["redis_disk_factor"] for load, gb in memory.items()}
        disk |= {"hot_gb": measured["hot_disk_factor"]} if part.holds_hot_days else {}
        disk |= {"log_gb": measured["log_disk_factor"]} if part.holds_log else {}
        parts[name] = Part(
            part.kind, size, cores, part.nodes, part.spot, memory, disk, most, part.partition_gb, part.on_one_host
        )
    usd = {name: price.usd for name, price in file.prices.items()}
    return Basis(file.jpy_per_usd, usd, measured, file.limits.model_dump(), parts)


def _state(measured: dict[str, float]) -> dict[str, float]:
    """Return the GB in Redis by load: identities of an hour, and copy and results of a month."""
    missed = 1 - measured["hit_rate"]
    page = measured["redis_bytes_per_copy"] * missed + measured["redis_bytes_per_result"]
    return {"thousand_beacons_s": 3_600 * measured["redis_bytes_per_beacon"] / 1e6, "kept_pages": page / 1e9}


def options_of(file: PriceFile) -> list[Option]:
    """Return the deployments that are compared; the first is the recommended one."""
    plan = {
        name: Size(
            part.count,
            part.vcpu,
            part.gb,
            part.disk_gb,
            needed=part.needed,
            partitions=file.part[name].partitions if name in file.part else 0,
        )
        for name, part in file.plan.items()
    }
    options = []
    for each in file.option:
        sizes = plan if each.sizes == "plan" else None
        if each.machine is not None:
            sizes = {"machine": Size(1, each.machine.vcpu, each.machine.gb, each.machine.disk_gb)}
        options.append(Option(each.name, each.regions, each.processor, each.page_regions, sizes))
    return options


def make_report(file: PriceFile, work: Workload) -> dict[str, Any]:
    """Return all months of the report."""
    basis, options = basis_of(file), options_of(file)
    return {
        "dated": file.dated.isoformat(),
        "workload": asdict(work)
        | {"visits_a_day": basis.visits_a_day(work), "pages_a_month": basis.pages_a_month(work)},
        "months": [_row(basis, month(basis, option, work)) for option in options],
        "hit_rates": [_row(basis, month(basis.with_hits(rate), options[0], work)) for rate in HITS],
        "partitions": _more_partitions(file, month(basis, options[0], work)),
        "traffic": [_row(basis, month(basis, option, work.times(factor))) for option in options for factor in FACTORS],
    }


def _more_partitions(file: PriceFile, best: Month) -> list[str]:
    """Return a line for each part of the recommendation that needs more partitions than its topic has."""
    return [
        f"{name} needs {best.runs[name].partitions} partitions of {part.topic}. infra/kafka/topics.toml has "
        f"{part.partitions}: change it before the first `lpstream migrate`, which never changes a topic's partitions."
        for name, part in file.part.items()
        if best.runs[name].partitions > part.partitions
    ]


def _row(basis: Basis, total: Month) -> dict[str, Any]:
    judged = [asdict(each) | {"verdict": "pass" if each.passed else "fail"} for each in verdicts(basis, total)]
    return asdict(total) | {"holds": total.holds, "infrastructure_yen": total.infrastructure_yen, "verdicts": judged}


def _summary(report: dict[str, Any]) -> list[str]:
    work = report["workload"]
    lines = [
        f"{work['name']}: at most {work['connections']:,.0f} open pages and {work['pages_a_minute']:,.1f} new pages a "
        f"minute; {work['visits_a_day']:,.0f} visits a day, {work['pages_a_month']:,.0f} pages a month on average "
        f"(prices of {report['dated']})"
    ]
    for row in report["months"]:
        lines.append(
            f"\n{row['option']}: ¥{row['infrastructure_yen']:,.0f} a month, model calls ¥{row['api_yen']:,.0f}"
        )
        lines += [
            f"  {each['verdict']}  {each['measure']}: {each['value']:,.1f} {each['unit']}, limit {each['limit']:,.0f}"
            for each in row["verdicts"]
        ]
        lines.append(f"  {'holds' if row['holds'] else 'does not hold'} the load; available {percent(row)}")
        lines += [f"    {line}" for line in row["lacks"]]
    lines += ["", f"parts of {report['months'][0]['option']}:"]
    lines += [f"  {' '.join(part)}" for part in parts_of(report["months"][0])]
    return [*lines, *report["partitions"]]
