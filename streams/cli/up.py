"""`lpstream up`: the embedded stack and all services, until Ctrl-C."""

import asyncio
import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.embedded.kafka import Choice
from infra.embedded.stack import Stack
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, out, say
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of

Kafka = Annotated[Choice, typer.Option("--kafka", help="Broker; auto: Apache Kafka where Java and Maven are.")]
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


@contextlib.contextmanager
def installation(data: Path, kafka: Choice) -> Iterator[tuple[Stack, Installation]]:
    """A stack with its services, ready; all gone at the end."""
    with Stack(data, kafka, say) as stack:
        asyncio.run(prepare(settings_of(stack), say))
        services = Installation(stack, say)
        try:
            services.start()
            yield stack, services
        finally:
            services.stop()


def up(data: Data = DEFAULT_DATA, kafka: Kafka = "auto", as_json: AsJson = False) -> None:
    """Start everything on this machine, print each door, keep it running until Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with installation(data, kafka) as (stack, services):
        if as_json:
            out.print_json(json.dumps(services.doors()))
        else:
            show_processes(stack, services)
            _show_doors(services.doors())
        while not stop.wait(WATCH_S):
            services.watch()
    say("stopped")


def show_processes(stack: Stack, services: Installation) -> None:
    """How long each process took to start, and its memory."""
    table = Table("process", "pid", "start ms", "memory MB", title="What runs")
    for name, child in stack.processes.items():
        table.add_row(name, str(child.pid), str(stack.startup_ms[name]), f"{child.memory_mb():.0f}")
    for name, child in services.children.items():
        table.add_row(name, str(child.pid), str(child.ready_ms), f"{child.memory_mb():.0f}")
    err.print(table)


def _show_doors(doors: dict[str, Any]) -> None:
    example = "SELECT * FROM lp_daily"
    request = json.dumps({"records": [{"value": EXAMPLE}]}, ensure_ascii=False)
    beacon = json.dumps(BEACON | {"t0": int(time.time() * 1000)})
    login, _, host = doors["clickhouse"].removeprefix("http://").partition("@")
    out.print(
        f"""
Snippet, for a page:
  <script async src="{doors["edge"]}/t.js" data-lp-id="demo-page"></script>
What it posts, by hand:
  curl -i "{doors["edge"]}/e/heatmap.events" -d '{beacon}'
A picture of what was counted:
  curl -H "Authorization: Bearer {doors["token"]}" -o map.png "{doors["api"]}/heatmaps/demo-page.png?kind=click"
A landing page, asked for and looked up:
  lpstream request --industry 美容 --purpose 予約 --keyword 髪質改善 --name "サロン 凪"
  curl -X POST -H "Authorization: Bearer {doors["token"]}" -H "Content-Type: application/vnd.kafka.json.v2+json" \\
    "{doors["api"]}/topics/lp.requests" -d '{request}'
  curl -H "Authorization: Bearer {doors["token"]}" "{doors["api"]}/lp/requests/{EXAMPLE_ID}"
The studio, to make pages and see their maps in a browser; log in with {doors["token"]}
  {doors["api"]}/studio
SQL, read-only:
  lpstream sql "{example}"
  curl -u {login} "http://{host}/?database=lpstream" -d "{example} FORMAT PrettyCompact"
Ctrl-C ends everything.
""",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
