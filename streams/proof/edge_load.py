"""Load for the edge over HTTP: thousands of real keep-alive connections from a few processes.

Open loop: the due time of each post is fixed in advance, and latency is measured from the due time. So a stall of the
server is measured as visitors see it. With rate 0 the loop is closed: each connection posts again after each answer.
A beacon that is not acknowledged is sent again under the same pageview id, as the snippet does.
"""

import asyncio
import ipaddress
import json
import math
import random
import resource
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self, cast
from urllib.parse import urlsplit
from uuid import UUID

import uvloop

from schemas.errors import LpstreamError
from streams.proof.bench.load import Load, templates
from streams.proof.load import Template
from streams.proof.percentiles import spread

PATH = "/e/heatmap.events"
TICK_S = 0.001
CONNECTING = 200
POOL, SPAN_MS = 2_000, 5_000
MOST_TRIES = 10
END_WITHIN_S = 30.0
RETRIED = {408, 429, 503}


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of the load: `rate` posts/s over all connections (0: as fast as possible).

    Each post is a beacon of `size` events. Connections take turns at `addresses` client addresses of the loopback
    range. The ids of the pages begin with `prefix`.
    """

    url: str
    connections: int
    rate: float
    seconds: float
    size: int = 20
    lps: int = 50
    addresses: int = 1
    seed: int = 1
    first_address: int = 0
    prefix: str = "lp_"


@dataclass(slots=True)
class Outcome:
    """The result of a run, with the processor seconds of the generator.

    Latencies are ms from the due time. `counts` sums the columns of acknowledged beacons.
    """

    posts: int = 0
    acknowledged: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    latencies: "array[float]" = field(default_factory=lambda: array("f"))

    @property
    def errors(self) -> int:
        """The number of answers other than 204, broken connections and failed attempts to connect."""
        return self.statuses.total() - self.statuses["204"]

    def latency(self) -> dict[str, float]:
        """Return p50, p95, p99 and max in ms; empty if nothing was acknowledged."""
        return spread(self.latencies, 1)


class Poster(asyncio.Protocol):
    """A connection with one request at a time. Requests that are due meanwhile wait."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._waiting: list[float] = []
        self._due = 0.0
        self._request = b""
        self._counts: Counter[str] = Counter()
        self._tries = 0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def post(self, due: float) -> None:
        """Post the next beacon, now or after the open request."""
        if self._request:
            self._waiting.append(due)
            return
        self._due = due
        self._request, self._counts = self._run.beacon()
        self._tries = 0
        self._run.outcome.posts += 1
        self._send()

    def _send(self) -> None:
        self._tries += 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Collect the bytes of an answer; handle the answer once it is complete."""
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._answer[:end].lower()
        mark = head.find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        if len(self._answer) < end + 4 + length:
            return
        self._answer = b""
        self._done(int(head[9:12]))

    def _done(self, status: int) -> None:
        run = self._run
        run.outcome.statuses[str(status)] += 1
        if status in RETRIED and self._tries < MOST_TRIES:
            run.loop.call_later(1.0, self._send)
            return
        if status == 204:
            run.outcome.acknowledged += 1
            run.outcome.counts.update(self._counts)
            run.outcome.latencies.append((run.loop.time() - self._due) * 1000)
        self._request = b""
        if self._waiting:
            self.post(self._waiting.pop(0))
        elif run.closed and run.loop.time() < run.ends:
            self.post(run.loop.time())
        else:
            run.idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Connect again, and send the open request again."""
        if self._run.finished:
            return
        cause = type(exc).__name__ if exc else "closed by the server"
        self._run.outcome.statuses[f"connection lost: {cause}"] += 1
        self._transport, self._answer = None, b""
        self._run.loop.call_later(0.5, lambda: self._run.spawn(self._again()))

    async def _again(self) -> None:
        await self._run.connect(self)
        if self._request:
            self._send()

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._request)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class Run:
    """The part of a plan that one process runs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.loop = asyncio.get_running_loop()
        self.outcome = Outcome()
        self.closed = plan.rate == 0
        self.ends = math.inf
        self._began = 0.0
        self.finished = False
        self._rng = random.Random(plan.seed)
        self._requests = [self._request(template) for template in self._pool()]
        self._posters = [Poster(self) for _ in range(plan.connections)]
        self._numbers = {id(poster): number for number, poster in enumerate(self._posters)}
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()

    def _pool(self) -> list[Template]:
        plan = self._plan
        load = Load(plan.size, POOL, lps=plan.lps, span_ms=SPAN_MS, pool=POOL, seed=plan.seed, prefix=plan.prefix)
        return templates(load, int(time.time() * 1000))

    def _request(self, template: Template) -> tuple[Template, bytes]:
        length = len(template.body(b"0" * 36, template.t0))
        host = urlsplit(self._plan.url).netloc
        head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
        return template, head.encode()

    def beacon(self) -> tuple[bytes, Counter[str]]:
        """Return a request with a beacon under a new pageview id, and the beacon's counts."""
        template, head = self._requests[self._rng.randrange(len(self._requests))]
        pageview_id = str(UUID(int=self._rng.getrandbits(128), version=4)).encode()
        # the templates hold the times of the start; shift each beacon to the current time
        return head + template.body(pageview_id, template.t0 + int(self._elapsed_ms())), template.counts

    def _elapsed_ms(self) -> float:
        return (self.loop.time() - self._began) * 1000

    async def connect(self, poster: Poster) -> None:
        """Open the poster's connection from its address. Try again until it succeeds."""
        parts = urlsplit(self._plan.url)
        number = self._plan.first_address + self._numbers[id(poster)] % self._plan.addresses
        address = str(ipaddress.IPv4Address("127.0.0.1") + number)
        host, port = str(parts.hostname), int(parts.port or 80)
        while not self.finished:
            try:
                await self.loop.create_connection(lambda: poster, host, port, local_addr=(address, 0))
            except OSError:
                self.outcome.statuses["cannot connect"] += 1
                await asyncio.sleep(0.5)
            else:
                return

    def spawn(self, work: Any) -> None:
        """Run a coroutine in the background."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def idle(self) -> None:
        """Note that a poster is idle; end the wait if the time is over and none is busy."""
        if self.loop.time() >= self.ends and not any(poster.busy for poster in self._posters):
            self._quiet.set()

    async def all(self) -> Outcome:
        """Run the plan and return its outcome.

        Connect, print "connected", wait for a line on stdin, send, wait for the last answer.
        """
        for first in range(0, len(self._posters), CONNECTING):
            await asyncio.gather(*map(self.connect, self._posters[first : first + CONNECTING]))
        sys.stdout.write("connected\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        self._began = started = self.loop.time()
        used = time.process_time()
        self.ends = started + self._plan.seconds
        await (self._as_fast_as_it_goes() if self.closed else self._by_the_clock(started))
        self.outcome.seconds = self.loop.time() - started
        self.outcome.cpu_s = time.process_time() - used
        self.idle()
        async with asyncio.timeout(END_WITHIN_S):
            await self._quiet.wait()
        self.finished = True
        for poster in self._posters:
            poster.close()
        return self.outcome

    async def _by_the_clock(self, started: float) -> None:
        plan, number, count = self._plan, 0, len(self._posters)
        while (now := self.loop.time()) < self.ends:
            while (due := started + number / plan.rate) <= now:
                self._posters[number % count].post(due)
                number += 1
            await asyncio.sleep(TICK_S)

    async def _as_fast_as_it_goes(self) -> None:
        for poster in self._posters:
            poster.post(self.loop.time())
        await asyncio.sleep(self.ends - self.loop.time())


class Generator:
    """Child processes that share a plan. Call `connect`, then `run`; `seconds` begin with `run`.

    As a context manager it connects, and stops the processes when the block ends.
    """

    def __init__(self, plan: Plan, processes: int) -> None:
        self._plan = plan
        self._children = [self._start(number, processes) for number in range(processes)]

    def _start(self, number: int, processes: int) -> "subprocess.Popen[str]":
        plan = self._plan
        share = plan.connections // processes + (number < plan.connections % processes)
        part = replace(
            plan,
            connections=share,
            rate=plan.rate * share / plan.connections,
            addresses=max(1, plan.addresses // processes),
            seed=plan.seed * 1_000 + number,
            first_address=number * plan.addresses // processes,
        )
        args = [sys.executable, "-m", "streams.proof.edge_load", json.dumps(asdict(part))]
        return subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        """Open every connection."""
        try:
            self.connect()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the processes."""
        self.stop()

    def connect(self) -> None:
        """Return when every connection is open. Raise LpstreamError if a process fails."""
        for child in self._children:
            assert child.stdout is not None  # noqa: S101 - it is a pipe
            if child.stdout.readline() != "connected\n":
                raise LpstreamError("a load generator could not connect; check the limit of open files (ulimit -n)")

    def run(self) -> Outcome:
        """Send, and return the merged outcome. Raise LpstreamError if a process fails."""
        for child in self._children:
            assert child.stdin is not None  # noqa: S101 - it is a pipe
            child.stdin.write("go\n")
            child.stdin.flush()
        outputs = [child.communicate()[0] for child in self._children]
        if any(child.returncode for child in self._children):
            raise LpstreamError("a load generator failed; its error is on stderr")
        return merged([json.loads(text) for text in outputs])

    def stop(self) -> None:
        """Kill the processes that still run."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
                child.wait()


def merged(parts: Sequence[dict[str, Any]]) -> Outcome:
    """Return the outcome of all processes as one."""
    whole = Outcome()
    for part in parts:
        whole.posts += part["posts"]
        whole.acknowledged += part["acknowledged"]
        whole.cpu_s += part["cpu_s"]
        whole.seconds = max(whole.seconds, part["seconds"])
        whole.statuses.update(part["statuses"])
        whole.counts.update(part["counts"])
        whole.latencies.extend(part["latencies"])
    return whole


async def _main(plan: Plan) -> None:
    outcome = await Run(plan).all()
    values = {item.name: getattr(outcome, item.name) for item in fields(outcome)}
    values["latencies"] = [round(value, 2) for value in outcome.latencies]
    sys.stdout.write(json.dumps(values))


def main() -> None:
    """Run as a child of `Generator`. The only argument is its part of the plan, as JSON."""
    plan = Plan(**json.loads(sys.argv[1]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_main(plan))


if __name__ == "__main__":
    main()
