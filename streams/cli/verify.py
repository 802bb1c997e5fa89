"""`lpstream verify`: run the verification plan and write its report."""

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
from streams.local.console import AsJson, err, out, say, settings_for, writable_folder
from streams.proof.verify.measures import figures
from streams.proof.verify.place import SETTINGS, Place, embedded, running, warm_copy
from streams.proof.verify.report import WORDS, figure, keep, kept, write
from streams.proof.verify.run import Asked, carry_out
from streams.proof.verify.scenarios import SCENARIOS
from streams.proof.verify.verdicts import Row, failed
from streams.runtime.settings import any_address_set

WARMED = 800
EPILOG = "Exit code: 0 if every line of the scenarios that ran keeps its limit at the given scale, otherwise 1."


Scenarios = Annotated[
    list[str] | None,
    typer.Option("--scenario", help=f"Scenario to run: {', '.join(SCENARIOS)} or all; may be given several times."),
]
Duration = Annotated[float, typer.Option(min=0, help="Seconds to measure after the ramp; 0: the scenario's default.")]
Ramp = Annotated[
    float,
    typer.Option(
        min=-1,
        max=86_400,
        help="Seconds over which connections open; 0: all at once; below 0: the scenario's default.",
    ),
]
Scale = Annotated[
    float,
    typer.Option(min=0.001, max=10, help="Factor on connections and rates; the report shows it at each verdict."),
]
ByLocust = Annotated[
    bool | None,
    typer.Option(
        "--locust/--no-locust",
        help="Let Locust drive the visitors, which costs more processor time; default: at addresses of the settings.",
    ),
]
Warmed = Annotated[int, typer.Option("--warm", min=0, help="Number of most frequent patterns to warm first; 0: none.")]
Provider = Annotated[
    str,
    typer.Option(
        "--provider",
        help="Models: simulator (copy takes 3 s), settings (those of the settings), or a profile's name.",
    ),
]
Tenant = Annotated[str, typer.Option(help="Tenant that LPSTREAM_API_TOKEN belongs to, on a running stack.")]
Seed = Annotated[int, typer.Option(help="Seed of visitors, requests and faults; 0: a random seed.")]
Target = Annotated[Path, typer.Option("--out", help="Folder of the report; other scenarios in it are kept.")]
Edges = Annotated[
    int, typer.Option(min=1, max=16, help="Edge processes of the embedded stack; chaos kills one if there are several.")
]
Brokers = Annotated[
    int, typer.Option(min=1, max=9, help="Apache Kafka nodes of the embedded stack; chaos kills one if several.")
]
Running = Annotated[Path | None, typer.Option("--data", help="Folder of a running stack; default: an embedded stack.")]


def verify(
    scenario: Scenarios = None,
    duration: Duration = 0,
    ramp: Ramp = -1,
    scale: Scale = 1.0,
    locust: ByLocust = None,
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
    """Run the verification plan: visitors, faults, measures, verdicts, a report in two languages.

    The target is a new embedded stack, the stack that `up` runs in --data, or the addresses of the settings.
    Ctrl-C ends the load; the results so far are still written.
    """
    for client in ("aiokafka", "clickhouse_connect"):  # store outages are part of the test; do not log them
        logging.getLogger(client).setLevel(logging.CRITICAL)
    names = _names(scenario)
    writable_folder("--out", target)
    kept(target)  # a damaged run is named before the load
    if edges > 1 and "rolling" in names:
        raise LpstreamError("--scenario rolling needs --edges 1: it replaces an edge of one process")
    with (
        tempfile.TemporaryDirectory(prefix="lpstream-verify-") as folder,
        _place(Path(folder), tenant, data, kafka=kafka, models=models, edges=edges, brokers=brokers) as place,
    ):
        copy = warm_copy(place, warmed, say)
        for name in names:
            chosen = SCENARIOS[name]
            asked = Asked(
                chosen, scale, duration or chosen.seconds, chosen.ramp_s if ramp < 0 else ramp,
                any_address_set() if locust is None else locust, seed or random.SystemRandom().randrange(1, 2**31),
            )  # fmt: skip
            run = _run(place, asked, Path(folder) / f"drivers-{name}")
            run |= {"models": _models(place, models), "warmed": copy}
            keep(target, run)
            verdicts = write(target)
            if run["interrupted"]:
                break
    rows = [row for row in verdicts if row["scenario"] in names]
    _show(rows, target, as_json)
    if wrong := failed(rows):
        raise LpstreamError(f"{len(wrong)} lines of the plan fail: {', '.join(row['id'] for row in wrong)}")


def _names(scenarios: list[str] | None) -> list[str]:
    names = scenarios or ["normal"]
    if "all" in names:
        return list(SCENARIOS)
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise LpstreamError(f"--scenario {unknown[0]}: unknown; give one of {', '.join(SCENARIOS)}, or all")
    return list(dict.fromkeys(names))


@contextmanager
def _place(
    folder: Path, tenant: str, data: Path | None, *, kafka: Any, models: str, edges: int, brokers: int
) -> Iterator[Place]:
    if data is None and not any_address_set():
        with embedded(folder / "stack", kafka, models, say, edges=edges, brokers=brokers) as place:
            yield place
        return
    if edges > 1 or brokers > 1:
        raise LpstreamError("--edges and --brokers need an embedded stack: omit --data and unset LPSTREAM_* addresses")
    stack_data = data or Path()
    doors = {} if any_address_set() else read_addresses(stack_data)
    pids = {name: service["pid"] for name, service in doors.get("services", {}).items()}
    yield running(settings_for(stack_data), tenant, pids)


def _models(place: Place, models: str) -> str:
    if place.provider is not None:
        profile = f", profile {', '.join(place.script.profiles)}" if place.script.profiles else ""
        return f"simulator (copy takes 3 s, first token 0.6 s{profile})"
    return "those of the settings" if models == SETTINGS else "those of the running workers"


def _run(place: Place, asked: Asked, folder: Path) -> dict[str, Any]:
    """Run one scenario with a progress line and return its figures."""
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
    """Carry out one scenario; the first Ctrl-C ends the load, the second ends the command at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        say("stopping the load; the results so far are still counted and written")
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, end)
    try:
        return await carry_out(place, asked, folder, stop, tell)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _show(rows: list[Row], target: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table("line", "limit", "measured", "scale", "verdict", title="Verdicts")
    for row in rows:
        limit = f"{row['comparator']} {figure(row['limit'], row['unit'])}"
        table.add_row(row["id"], limit, figure(row["value"], row["unit"]), f"{row['scale']:g}", WORDS[row["verdict"]])
    out.print(table)
    say(f"written to {target}: report.html, report.md, report.ja.md, report.json")
