"""Helpers for guarantee tests.

Traffic that records acknowledgements, and a proxy that injects faults.

Traffic behaves like the snippet: it retries a beacon until it is acknowledged. So at the end every beacon
is acknowledged, and the totals must equal those of all beacons.
"""

import asyncio
import contextlib
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest
from aiohttp import web
from beacons import analyst, assert_tables_equal, some_beacons, totals, wait_counted
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.admin import members
from schemas.heatmap import GROUP
from streams.local.installation import Installation
from streams.proof.visitors import tally

FULL = os.environ.get("LPSTREAM_GUARANTEES", "short") == "full"
# `make test` must take minutes: it keeps a test of each rule and shows the skipped tests, which `make test-kafka` runs.
full_only = pytest.mark.skipif(not FULL, reason="takes minutes: `make test-kafka` runs it (LPSTREAM_GUARANTEES=full)")
SETTLE_S = 8
DUPLICATES = 0.1
PER_SECOND = 60


def scaled(short: float, full: float) -> float:
    """Return the value for the short run, or for the full run (LPSTREAM_GUARANTEES=full)."""
    return full if FULL else short


@dataclass(slots=True)
class Traffic:
    """Traffic of one page: beacons that are posted while the block of `flowing` runs."""

    stack: Stack
    services: Installation
    lp_id: str = field(default_factory=lambda: f"g{uuid4().hex[:12]}")
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 0
    failed: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[random.Random]:
        """Post until the block ends and all is acknowledged.

        Yield the run's random generator; its seed is printed.
        """
        seed = int.from_bytes(os.urandom(4), "big")
        rng = random.Random(seed)
        print(f"{self.lp_id}: seed {seed}")
        stop = asyncio.Event()
        task = asyncio.create_task(self._post_all(stop, rng))
        try:
            yield rng
        finally:
            stop.set()
            await task

    async def _post_all(self, stop: asyncio.Event, rng: random.Random) -> None:
        connector = aiohttp.TCPConnector(limit=200)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session,
            asyncio.TaskGroup() as posting,  # a refused beacon fails the test
        ):
            for beacon in some_beacons(self.lp_id, 20_000 if FULL else 4_000):
                if stop.is_set():
                    break
                posting.create_task(self._until_acknowledged(session, beacon, rng.random() < DUPLICATES))
                await asyncio.sleep(1 / PER_SECOND)

    async def _until_acknowledged(self, session: aiohttp.ClientSession, beacon: dict[str, Any], again: bool) -> None:
        body = msgspec.json.encode(beacon)
        while True:
            self.tries += 1
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(f"{self.services.edge_url}/e/heatmap.events", data=body) as answer:
                    if answer.status == 204:
                        if not again:
                            break
                        again = False
                        continue
                    assert answer.status in (429, 503), await answer.text()
            self.failed += 1
            await asyncio.sleep(0.5)
        self.acknowledged.append(beacon)

    async def assert_exact(self, within_s: float = PATIENCE_S) -> None:
        """Assert that every acknowledged event is in ClickHouse exactly once; print the figures of the run."""
        events = tally(self.acknowledged).total()
        clickhouse = analyst(self.stack)
        started = time.monotonic()
        try:
            await wait_counted(clickhouse, self.lp_id, events, within_s)
            caught_up = time.monotonic() - started
            await asyncio.sleep(SETTLE_S)
            found = await totals(clickhouse, self.lp_id)
            faults = ", ".join(f"{count} × {fault}" for fault, count in self.faults.items()) or "no faults"
            print(
                f"{self.lp_id}: {faults}; beacons {len(self.acknowledged):,} in {self.tries:,} posts"
                f" ({self.failed:,} failed),"
                f" events in {events:,}, counted {found['events']:,}, caught up {caught_up:.1f} s after the last"
            )
            assert found["events"] == events > 0
            await assert_tables_equal(clickhouse, self.lp_id, self.acknowledged)
        finally:
            await clickhouse.close()


async def kill_and_launch(installation: Installation, name: str) -> None:
    """SIGKILL a service and start it again at once."""
    await asyncio.to_thread(installation.children[name].kill)
    installation.launch(name)


async def stop_worker(stack: Stack, installation: Installation) -> None:
    """Stop the heatmap worker, and wait until its group is empty."""
    await asyncio.to_thread(installation.children["heatmap"].stop)
    while await members(stack.addresses.kafka, GROUP):
        await asyncio.sleep(0.2)


def metrics_of(installation: Installation, worker: str) -> str:
    """Return a worker's metrics page; "" while it does not answer."""
    try:
        with urllib.request.urlopen(installation.ready_url(worker).replace("/readyz", "/metrics"), timeout=2) as answer:
            return str(answer.read().decode())
    except (OSError, HTTPException):  # HTTPException: the worker ended within its answer
        return ""


Forward = Callable[[], Awaitable[web.Response]]
Fault = Callable[[web.BaseRequest, Forward], Awaitable[web.Response | None]]


@dataclass(slots=True)
class Proxy:
    """An HTTP proxy before ClickHouse whose `fault` may replace the handling of a request.

    `fault` gets the request and a function that forwards it, and returns an answer, or None to close the connection.
    """

    target: str
    fault: Fault | None = None
    url: str = ""
    session: Any = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Listen on a free port while the block runs."""
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            self.session = session
            runner = web.ServerRunner(web.Server(self._answer, request_factory=_big_request))
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()

        async def forward() -> web.Response:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
            address = self.target + request.raw_path
            async with self.session.request(request.method, address, data=body, headers=headers) as upstream:
                passed_headers = {
                    name: value for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP
                }
                return web.Response(status=upstream.status, body=await upstream.read(), headers=passed_headers)

        answer = await (self.fault(request, forward) if self.fault is not None else forward())
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        return answer


HOP_BY_HOP = {"content-length", "transfer-encoding", "connection", "keep-alive"}
MOST_BODY = 2**30


def _big_request(*args: Any) -> web.BaseRequest:
    return web.BaseRequest(*args, asyncio.get_running_loop(), client_max_size=MOST_BODY)  # type: ignore[misc, arg-type]


def refusal(code: int, name: str) -> web.Response:
    """Return an error in ClickHouse's format."""
    text = f"Code: {code}. DB::Exception: injected by the test. ({name}) (version 26.9.2.1)\n"
    return web.Response(status=500, text=text, headers={"X-ClickHouse-Exception-Code": str(code)})


def is_insert(request: web.BaseRequest, table: str = "") -> bool:
    """Return whether the request is an insert (into that table)."""
    query = request.query.get("query", "")
    return query.upper().startswith("INSERT") and table in query
