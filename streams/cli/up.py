"""`lpstream up`: run the embedded stack and all services until Ctrl-C."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.embedded.kafka import Choice
from infra.embedded.stack import Stack
from streams.local.addresses import data_option
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, out, program, say
from streams.local.installation import Installation
from streams.local.running import installation

Kafka = Annotated[Choice, typer.Option("--kafka", help="Broker; auto: Apache Kafka if Java and Maven are installed.")]
WATCH_S = 0.5
BEACON = {
    "schema": 1,
    "lp_id": "demo-page",
    "pageview_id": "2b1f5e4e-5d0a-4b8e-9a86-0b8a2fd6e0c1",
    "seq": 0,
    "device": "mobile",
    "viewport_w": 390,
    "viewport_h": 844,
    "page_w": 390,
    "page_h": 5200,
    "t0": 0,
    "depth": 0,
    "type": "sc",
    "dt": [0, 120],
    "x": [0, 120],
    "y": [0, 340],
    "dwell": [0, 0],
}
EXAMPLE_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
EXAMPLE = {
    "schema": 1,
    "request_id": EXAMPLE_ID,
    "tenant_id": "demo",
    "industry": "飲食",
    "purpose": "集客",
    "keywords": ["ラーメン"],
    "business": {"name": "麺屋 一"},
}


def up(
    data: Data = DEFAULT_DATA,
    kafka: Kafka = "auto",
    port: Annotated[
        int | None,
        typer.Option("--port", min=1024, max=65_534, help="Port of the edge; the private listener has the next."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the stack and all services on this machine, print the addresses, run until Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with installation(data, kafka, port) as (stack, services):
        if as_json:
            out.print_json(json.dumps(services.doors()))
        else:
            show_processes(stack, services)
            _show_doors(services.doors(), data)
        while not stop.wait(WATCH_S):
            services.watch()
    say("stopped")


def show_processes(stack: Stack, services: Installation) -> None:
    """Print the start time and memory of each process."""
    table = Table("process", "pid", "start ms", "memory MB", title="Processes")
    for name, child in stack.processes.items():
        table.add_row(name, str(child.pid), str(stack.startup_ms[name]), f"{child.memory_mb():.0f}")
    for name, child in services.children.items():
        table.add_row(name, str(child.pid), str(child.ready_ms), f"{child.memory_mb():.0f}")
    err.print(table)


def _show_doors(doors: dict[str, Any], data: Path) -> None:
    """Print the addresses, each with a command that runs in a new terminal in the same folder."""
    lpstream, at = program(), data_option(data)
    example = "SELECT * FROM lp_daily"
    request = json.dumps({"records": [{"value": EXAMPLE}]}, ensure_ascii=False)
    beacon = json.dumps(BEACON | {"t0": int(time.time() * 1000)})
    login, _, host = doors["clickhouse"].removeprefix("http://").partition("@")
    out.print(
        f"""
Snippet for a page:
  <script async src="{doors["edge"]}/t.js" data-lp-id="demo-page"></script>
Post a beacon by hand, as the snippet does:
  curl -i "{doors["edge"]}/e/heatmap.events" -d '{beacon}'
Get a click map:
  curl -H "Authorization: Bearer {doors["token"]}" -o map.png "{doors["api"]}/heatmaps/demo-page.png?kind=click"
Request a landing page and read its result:
  {lpstream} request{at} --industry 美容 --purpose 予約 --keyword 髪質改善 --name "サロン 凪"
  curl -X POST -H "Authorization: Bearer {doors["token"]}" -H "Content-Type: application/vnd.kafka.json.v2+json" \\
    "{doors["api"]}/topics/lp.requests" -d '{request}'
  curl -H "Authorization: Bearer {doors["token"]}" "{doors["api"]}/lp/requests/{EXAMPLE_ID}"
The studio makes pages and shows their maps in a browser; log in with {doors["token"]}
  {doors["api"]}/studio
SQL, read-only:
  {lpstream} sql{at} "{example}"
  curl -u {login} "http://{host}/?database=lpstream" -d "{example} FORMAT PrettyCompact"
Press Ctrl-C to stop everything.
""",
        highlight=False,
        soft_wrap=True,
    )
