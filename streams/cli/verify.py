"""`lpstream verify`: the verification plan carried out, and its report."""

import asyncio
import json
import logging
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas.errors import LpstreamError
from streams.cli.up import Kafka
from streams.local.addresses import read_addresses
from streams.local.console import AsJson, err, out, say, settings_for
from streams.proof.verify.measures import figures
from streams.proof.verify.place import Models, Place, embedded, running, warm
from streams.proof.verify.report import WORDS, figure, keep, write
from streams.proof.verify.run import Asked, carry_out
from streams.proof.verify.scenarios import SCENARIOS
from streams.proof.verify.verdicts import Row, failed
from streams.runtime.settings import any_address_set

WARMED = 800
EPILOG = "Exit code: 0 when every line of the scenarios that were run keeps its limit at the scale asked for, 1 else."


Scenarios = Annotated[
    list[str] | None,
    typer.Option("--scenario", help=f"Which: {', '.join(SCENARIOS)} or all; may be given several times."),
]
Duration = Annotated[
    float, typer.Option(min=0, help="Seconds that are measured, after the ramp; 0: the scenario's own.")
]
Ramp = Annotated[
    float, typer.Option(help="Seconds over which connections come; 0: all at once; below 0: the scenario's own.")
]
Scale = Annotated[
    float,
    typer.Option(min=0.001, max=10, help="Factor on connections and rates; the report says it with each verdict."),
]
ByLocust = Annotated[
    int, typer.Option(min=1, help="Most connections that Locust drives; those beyond post beacons by raw sockets.")
]
Warmed = Annotated[
    int, typer.Option("--warm", min=0, help="Most frequent patterns whose copy is made before; 0: none.")
]
Provider = Annotated[
    Models, typer.Option("--provider", help="Models: the simulator (copy takes 3 s), or those of the settings.")
]
Tenant = Annotated[str, typer.Option(help="Tenant that LPSTREAM_API_TOKEN belongs to, where the stack runs.")]
Seed = Annotated[int, typer.Option(help="Seed of visitors, requests and faults; 0: a new one.")]
Target = Annotated[Path, typer.Option("--out", help="Where the report goes; scenarios in it stay.")]
Edges = Annotated[
    int, typer.Option(min=1, max=16, help="Processes of the edge, on a stack of its own; chaos then kills one of them.")
]
Brokers = Annotated[
    int, typer.Option(min=1, max=9, help="Apache Kafka nodes, on a stack of its own; chaos then kills one of them.")
]
Running = Annotated[Path | None, typer.Option("--data", help="Folder of a running stack; default: a stack of its own.")]


def verify(
    scenario: Scenarios = None,
    duration: Duration = 0,
    ramp: Ramp = -1,
    scale: Scale = 1.0,
    locust: ByLocust = 10_000,
    warmed: Warmed = WARMED,
    models: Provider = "simulator",
    kafka: Kafka = "auto",
    edges: Edges = 1,
    brokers: Brokers = 1,
    tenant: Tenant = "demo",
    seed: Seed = 0,
    target: Target = Path("out/verify"),
    data: Running = None,
    as_json: AsJson = False,
) -> None:
    """Carry out the verification plan: load by Locust, faults, measures, verdicts, and a report in two languages.

    Runs on an embedded stack of its own, on the one that `up` runs on --data, or at the addresses of the settings.
    Ctrl-C ends the load and still writes what was measured.
    """
    for client in ("aiokafka", "clickhouse_connect"):  # that a store is away is measured, not news
        logging.getLogger(client).setLevel(logging.CRITICAL)
    names = _names(scenario)
    if edges > 1 and "rolling" in names:
        raise LpstreamError("--edges: rolling replaces an edge of one process; leave it at 1, or leave rolling away")
    with (
        tempfile.TemporaryDirectory(prefix="lpstream-verify-") as folder,
        _place(Path(folder), tenant, data, kafka=kafka, models=models, edges=edges, brokers=brokers) as place,
    ):
        copy = warm(place, warmed, say)
        for name in names:
            one = SCENARIOS[name]
            asked = Asked(
                one, scale, duration or one.seconds, one.ramp_s if ramp < 0 else ramp, locust,
                seed or random.SystemRandom().randrange(1, 2**31),
            )  # fmt: skip
            run = _run(place, asked, Path(folder) / f"drivers-{name}")
            run |= {"models": _models(place, models), "warmed": copy}
            keep(target, run)
            told = write(target)
            if run["interrupted"]:
                break
    mine = [row for row in told if row["scenario"] in names]
    _show(mine, target, as_json)
    if wrong := failed(mine):
        raise LpstreamError(f"{len(wrong)} lines of the plan do not hold: {', '.join(row['id'] for row in wrong)}")


def _names(wanted: list[str] | None) -> list[str]:
    names = wanted or ["normal"]
    if "all" in names:
        return list(SCENARIOS)
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise LpstreamError(f"--scenario {unknown[0]}: give one of {', '.join(SCENARIOS)}, or all")
    return list(dict.fromkeys(names))


@contextmanager
def _place(
    folder: Path, tenant: str, data: Path | None, *, kafka: Any, models: Models, edges: int, brokers: int
) -> Iterator[Place]:
    if data is None and not any_address_set():
        with embedded(folder / "stack", kafka, models, say, edges=edges, brokers=brokers) as place:
            yield place
        return
    if edges > 1 or brokers > 1:
        raise LpstreamError("--edges and --brokers are of a stack of its own: leave --data and addresses away")
    where = data or Path()
    doors = {} if any_address_set() else read_addresses(where)
    yield running(settings_for(where), tenant, {name: one["pid"] for name, one in doors.get("services", {}).items()})


def _models(place: Place, models: Models) -> str:
    if place.provider is not None:
        return "simulator (copy takes 3 s, first token 0.6 s)"
    return "the settings'" if models == "settings" else "those of the running workers"


def _run(place: Place, asked: Asked, folder: Path) -> dict[str, Any]:
    """One scenario, with a progress line; its figures."""
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with Live(console=err, refresh_per_second=4, transient=True) as live:
        last = 0.0

        def tell(text: str) -> None:
            nonlocal last
            live.update(Text(f"{asked.scenario.name}: {text}"))
            if not err.is_terminal and time.monotonic() - last > 10:
                last = time.monotonic()
                say(f"{asked.scenario.name}: {text}")

        measured = asyncio.run(_carry_out(place, asked, folder, tell))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        **figures(measured),
        "began": began,
        "place": place.told,
        "versions": place.versions,
        "machine": {"cores": os.cpu_count(), "memory_gb": round(memory / 2**30)},
    }


async def _carry_out(place: Place, asked: Asked, folder: Path, tell: Any) -> Any:
    """The first Ctrl-C ends the load; a second one ends everything at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        say("stopping; what was measured is still counted and written")
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, end)
    try:
        return await carry_out(place, asked, folder, stop, tell)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _show(told: list[Row], target: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    table = Table("line", "limit", "measured", "scale", "verdict", title="Verdicts")
    for row in told:
        limit = f"{row['comparator']} {figure(row['limit'], row['unit'])}"
        table.add_row(row["id"], limit, figure(row["value"], row["unit"]), f"{row['scale']:g}", WORDS[row["verdict"]])
    out.print(table)
    say(f"written to {target}: report.html, report.md, report.ja.md, report.json")
