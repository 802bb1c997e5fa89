"""The lab of the benchmarks: one stack, one log, and empty tables for each run.

The clock of a run starts with its first records (our worker: its counter of records; a peer: its own report). It stops
when ClickHouse returns all of the log's events.
"""

import asyncio
import contextlib
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.migrate import migrate
from infra.embedded.kafka import JARS
from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from infra.kafka.admin import open_admin, partitions_of
from infra.kafka.topics import ensure_topics
from processors.heatmap.cuts import Cut
from schemas.errors import LpstreamError, Retryable
from schemas.heatmap import TOPIC
from streams.local.installation import MALLOC, NAMES, answers
from streams.local.prepare import settings_of
from streams.operate.marks import commit_for_group
from streams.proof.bench.frame import Say, own_stack
from streams.proof.bench.load import Filled, Load, fill
from streams.proof.bench.peers import FIRST, Job
from streams.proof.bench.tables import SUMS
from streams.proof.processes import cpu_s, peak_mb
from streams.runtime.stores import open_writer

CACHE = JARS.parent / "bench"
START_S, LONGEST_S, SETTLE_S = 60.0, 300.0, 0.3
POLL_S, READY_POLL_S = 0.2, 0.01
# a request for metrics takes the worker milliseconds
FIRST_POLL_S = 0.05
_RECORDS = re.compile(r"^lpstream_heatmap_records_total [1-9]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of a run: seconds until all `events` are queryable, processor seconds, memory, sums."""

    seconds: float
    events: int
    cpu_s: float
    clickhouse_cpu_s: float
    rss_mb: float
    rows: int
    sums: dict[str, tuple[int, ...]]

    @property
    def rate(self) -> float:
        """Return the events per second."""
        return self.events / self.seconds


@contextlib.contextmanager
def lab(say: Say) -> Iterator["Lab"]:
    """Open a lab on a stack of its own."""
    with own_stack(say) as stack:
        yield Lab(stack, say)


class Lab:
    """A stack to measure on. It owns the topic, the tables and the groups."""

    def __init__(self, stack: Stack, say: Say) -> None:
        self.stack = stack
        self.say = say
        self._resets = 0
        self._ports: list[int] = []
        self.settings = settings_of(stack)

    # -- the log ---------------------------------------------------------------------------------------

    def new_log(self, load: Load, *, partitions: int | None = None) -> Filled:
        """Delete and create the topic, then fill it."""
        self.empty_log(partitions=partitions)
        self.say(f"filling {TOPIC} with {load.records:,} beacons of {load.size}")
        return asyncio.run(fill(self.settings.kafka_bootstrap_servers, load))

    def empty_log(self, *, partitions: int | None = None) -> None:
        """Delete and create the topics. `partitions` replaces their usual number of partitions."""
        asyncio.run(self._empty_log(partitions))

    async def _empty_log(self, partitions: int | None) -> None:
        await self._drop_topics()
        servers = self.settings.kafka_bootstrap_servers
        await ensure_topics(servers, replication_factor=1, min_insync=1, partitions=partitions)

    async def _drop_topics(self) -> None:
        async with open_admin(self.settings.kafka_bootstrap_servers) as admin:
            topics = [name for name in await admin.list_topics() if not name.startswith("_")]
            if topics:
                await admin.delete_topics(topics)
            for _ in range(round(START_S / POLL_S)):
                if not set(topics) & set(await admin.list_topics()):
                    return
                await asyncio.sleep(POLL_S)
            raise Retryable(f"Kafka: topics still exist {START_S:g} s after their deletion")

    # -- a run -----------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Empty the tables, rewind our group to the log's start, and choose a new group for the next peer."""
        self._resets += 1
        asyncio.run(self._reset())

    async def _reset(self) -> None:
        clickhouse = open_writer(self.settings, "default")
        try:
            await clickhouse.command("DROP DATABASE IF EXISTS lpstream SYNC")
            await migrate(clickhouse, timezone="Asia/Tokyo")
        finally:
            await clickhouse.close()
        servers, mark = self.settings.kafka_bootstrap_servers, Cut(self.settings.heatmap_bucket_records).metadata
        await commit_for_group(servers, dict.fromkeys(await partitions_of(servers, TOPIC), 0), mark)

    def job(self) -> Job:
        """Return the addresses, topic and group that a peer gets."""
        at = self.stack.addresses
        records = self.settings.heatmap_bucket_records
        group = f"lpstream-bench-{self._resets}"
        return Job(at.kafka, TOPIC, group, at.clickhouse_url, at.clickhouse_user, at.clickhouse_password, records)

    def run_workers(self, filled: Filled, count: int = 1) -> Run:
        """Run `count` of our workers from the log's first record to its last."""
        with self.workers(count) as children:
            started = time.monotonic()
            while not any(map(_has_records, self._ports)):
                _check(children, started)
                time.sleep(FIRST_POLL_S)
            return asyncio.run(self._timed(filled, children))

    @contextlib.contextmanager
    def workers(self, count: int = 1) -> Iterator[list[ChildProcess]]:
        """Start our workers as an installation does, and wait until they have their partitions.

        They have no static membership: a static member stays in the group for 45 s after it ends, and the next run
        would wait for that.
        """
        self.reset()
        ports = Ports(self.stack.data)
        listening = {name: ports.get(name) for name in (f"bench-heatmap-{number}" for number in range(count))}
        self._ports = list(listening.values())
        children = [self._child(name, port) for name, port in listening.items()]
        with _running(children, lambda: all(answers(f"http://127.0.0.1:{port}/readyz") for port in listening.values())):
            yield children

    def _child(self, name: str, port: int) -> ChildProcess:
        env = self.stack.env() | MALLOC | {"LPSTREAM_WORKER_METRICS_PORT": str(port)}
        command = [sys.executable, "-m", "streams", *NAMES["heatmap"]]
        return ChildProcess(name, command, log=self.stack.data / "logs" / f"{name}.log", env=env)

    def run_peer(self, filled: Filled, name: str, command: Sequence[str]) -> Run:
        """Run a peer over the log."""
        self.reset()
        log = self.stack.data / "logs" / f"bench-{name}.log"
        log.unlink(missing_ok=True)
        child = ChildProcess(name, command, log=log, env=self.job().env())
        with _running([child], lambda: FIRST.encode() in log.read_bytes()):
            return asyncio.run(self._timed(filled, [child]))

    async def _timed(self, filled: Filled, children: list[ChildProcess]) -> Run:
        started = time.monotonic()
        clickhouse = open_writer(self.settings)
        pids, store_pid = [child.pid for child in children], self.stack.processes["clickhouse"].pid
        try:
            before = await events_in(clickhouse)
            cpu, store = sum(map(cpu_s, pids)), cpu_s(store_pid)
            while (counted := await events_in(clickhouse)) < filled.totals["events"]:
                _check(children, started)
                await asyncio.sleep(POLL_S)
            seconds = time.monotonic() - started
            return Run(
                seconds=seconds,
                events=counted - before,
                cpu_s=sum(map(cpu_s, pids)) - cpu,
                clickhouse_cpu_s=cpu_s(store_pid) - store,
                rss_mb=sum(map(peak_mb, pids)),
                rows=await _written(clickhouse),
                sums=await self._sums(clickhouse, filled),
            )
        finally:
            await clickhouse.close()

    async def _sums(self, clickhouse: ClickHouse, filled: Filled) -> dict[str, tuple[int, ...]]:
        """Return the sums of all tables. Raise LpstreamError if they differ from the produced events."""
        await asyncio.sleep(SETTLE_S)  # heatmap_windows is not the last table of an insert
        sums = {}
        for table, columns in SUMS.items():
            row = (
                await clickhouse.rows(f"SELECT {', '.join(f'sum({name}) AS {name}' for name in columns)} FROM {table}")
            )[0]
            sums[table] = tuple(int(row[name]) for name in columns)
        produced = tuple(filled.totals[name] for name in SUMS["heatmap_windows"])
        if sums["heatmap_windows"] != produced:
            raise LpstreamError(f"counted {sums['heatmap_windows']}, produced {produced} of {SUMS['heatmap_windows']}")
        return sums


def _has_records(port: int) -> bool:
    """Return whether the worker whose metrics are at the port has read a record."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return bool(_RECORDS.search(answer.read().decode()))


@contextlib.contextmanager
def _running(children: list[ChildProcess], ready: Callable[[], bool]) -> Iterator[None]:
    """Start the processes, wait until they are ready, and stop them when the block ends."""
    started = time.monotonic()
    try:
        for child in children:
            child.start()
        while not ready():
            _check(children, started, START_S)
            time.sleep(READY_POLL_S)
        yield
    finally:
        for child in children:
            child.stop()


def _check(children: list[ChildProcess], started: float, within_s: float = LONGEST_S) -> None:
    for child in children:
        if not child.alive:
            raise LpstreamError(child.obituary())
        if time.monotonic() - started > within_s:
            raise LpstreamError(f"{child.name} took longer than {within_s:g} s\n{child.tail()}")


async def events_in(clickhouse: ClickHouse) -> int:
    """Return the number of events in ClickHouse."""
    return int((await clickhouse.rows("SELECT sum(events) AS events FROM heatmap_windows"))[0]["events"])


async def _written(clickhouse: ClickHouse) -> int:
    """Return the number of rows of the largest table."""
    return int((await clickhouse.rows("SELECT count() AS rows FROM heatmap_cells"))[0]["rows"])
