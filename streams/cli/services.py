"""`lpstream edge`, `worker`, `snippet` and `migrate`: single processes, configured by the settings."""

import asyncio
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.embedded.process import ChildProcess
from schemas.errors import LpstreamError, SettingError
from schemas.heatmap import LP_ID_PATTERN
from streams.local.console import DEFAULT_DATA, Data, say, settings_for
from streams.local.installation import STOP_S, WORKERS
from streams.local.prepare import prepare
from streams.runtime.settings import PREFIX, Settings, any_address_set

HIGHEST_PORT = 65_535
NOT_REPLICATED = (
    "warning: LPSTREAM_CLICKHOUSE_REPLICATED is false. If a ClickHouse server is killed during an insert, plain tables "
    "can lose a bucket of one table (docs/production.md). Only the embedded server repairs this."
)


def edge(data: Data = DEFAULT_DATA) -> None:
    """Run the edge: the public and the private listener, in LPSTREAM_EDGE_PROCESSES processes."""
    from streams.edge.processes import run_edge

    run_edge(settings_for(data))


def snippet(
    lp_id: Annotated[str, typer.Option("--lp-id", help="Id of the page that the tag is for.")] = "lp_8f3a",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print the script tag of the tracking snippet, with the hash by which browsers check it."""
    from streams.edge.site.snippet import Snippet

    if not re.fullmatch(LP_ID_PATTERN, lp_id):
        raise LpstreamError("--lp-id: give at most 128 letters, digits, dots, dashes and underscores")
    typer.echo(Snippet.load().tag(settings_for(data).page_base_url, lp_id))


def worker(
    name: Annotated[Literal["heatmap", "generation", "optimizer", "all"], typer.Argument(help="Worker to run.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Run a worker of the pipeline; `all` runs all three, each in its own process."""
    settings = settings_for(data)
    if name == "all":
        _run_all(data, _metrics_ports(settings))
    elif name == "optimizer":
        from streams.experiments.worker import run_optimizer

        run_optimizer(settings)
    else:
        from streams.workers.process import run_worker

        run_worker(name, settings)


def _metrics_ports(settings: Settings) -> dict[str, int]:
    """Return the ports of all workers' metrics: that of the settings and the next ones. 0: any free port."""
    first = settings.worker_metrics_port
    ports = {name: first + position if first else 0 for position, name in enumerate(WORKERS)}
    if first and (taken := {*ports.values()} & {settings.edge_port, settings.api_port, HIGHEST_PORT + 1}):
        raise SettingError(
            f"{PREFIX}WORKER_METRICS_PORT: {first} and the next {len(ports) - 1} ports are for the workers, and "
            f"{min(taken)} is a port of the edge or too high; give another port"
        )
    return ports


def _run_all(data: Path, ports: dict[str, int]) -> None:
    """Run all workers until a signal; if one ends by itself, stop the others."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    children = []
    for name, port in ports.items():
        env = {"LPSTREAM_WORKER_METRICS_PORT": str(port)}
        args = [sys.executable, "-m", "streams", "worker", name, "--data", str(data)]
        children.append(ChildProcess(name, args, log=None, env=env))
    try:
        for child in children:
            child.grace_s = STOP_S
            child.start()
        while not stop.wait(0.5) and all(child.alive for child in children):
            pass
        dead = [child for child in children if not child.alive]
    finally:
        for child in children:
            child.stop()
    if dead and not stop.is_set():
        raise LpstreamError(f"worker {dead[0].name} ended with code {dead[0].returncode}; the others were stopped")


def migrate(data: Data = DEFAULT_DATA) -> None:
    """Create topics, tables, views and the bucket; safe to run again."""
    settings = settings_for(data)
    asyncio.run(prepare(settings, say))
    if any_address_set() and not settings.clickhouse_replicated:
        say(NOT_REPLICATED)
