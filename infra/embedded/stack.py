"""The embedded stack: broker, ClickHouse, Redis and S3 as child processes under one data folder."""

import fcntl
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from infra.embedded import stores
from infra.embedded.kafka import JARS, Broker, Choice, Kind, choose_kafka
from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess, Server
from schemas.errors import LpstreamError

WRITER, ANALYST, BUCKET = "lpstream", "analyst", "lpstream"
SECRETS = ("clickhouse", "analyst", "s3_access", "s3_secret")


@dataclass(frozen=True)
class StackAddresses:
    """The addresses and passwords of the stores. `pids` is by store: kafka, clickhouse, redis, s3."""

    kafka: str
    broker_kind: Kind
    clickhouse_url: str
    clickhouse_password: str = field(repr=False)
    analyst_password: str = field(repr=False)
    redis_url: str
    s3_endpoint_url: str
    s3_access_key: str = field(repr=False)
    s3_secret_key: str = field(repr=False)
    pids: dict[str, int]
    clickhouse_user: str = WRITER


class Stack:
    """The stack as a context manager: inside the block all stores answer; after it all have stopped.

    In the main thread, SIGTERM then raises an exception like Ctrl-C, so that the stores stop in order. An existing
    handler is not replaced.
    """

    def __init__(
        self,
        data: Path,
        kafka: Choice = "auto",
        on_event: Callable[[str], None] = lambda _: None,
        *,
        kafka_nodes: int = 1,
        jars: Path = JARS,
    ) -> None:
        """Set up the stack. `on_event` takes lines for the user, from any thread.

        `jars` is the cache of Apache Kafka's jars. `kafka_nodes` applies to a new data folder only: a cluster keeps its
        number of nodes.
        """
        self.data = data.resolve()
        self._choice: Choice = kafka
        self._kafka_nodes = kafka_nodes
        self._on_event = on_event
        self._jars = jars
        self._cancelled = threading.Event()
        self._lock: int | None = None
        self._restore_signal = False
        self._servers: dict[str, Server] = {}
        self.startup_ms: dict[str, int] = {}
        self._brokers: list[Broker] = []
        self.addresses: StackAddresses

    def __enter__(self) -> Self:
        try:
            self.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LpstreamError(f"--data {self.data}: cannot be used as a folder: {error.strerror}") from error
        self._take_lock()
        self._catch_sigterm()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        lock = os.open(self.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            os.close(lock)
            raise LpstreamError(
                f"{self.data} is in use by another lpstream (pid {owner or 'unknown'}); stop it, or use another --data"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock

    def _catch_sigterm(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _exit_by_signal)
            self._restore_signal = True

    def _start(self) -> None:
        started = time.monotonic()
        ports = Ports(self.data)
        keys = self._secrets()
        # ports are chosen first, in this order and thread; Kafka's ports come later, once the broker is chosen
        clickhouse_port, redis_port = ports.get("clickhouse"), ports.get("redis")
        s3, s3_port = stores.seaweedfs(self.data, ports, keys["s3_access"], keys["s3_secret"])
        self._servers = {
            "clickhouse": stores.clickhouse(self.data, clickhouse_port, keys["clickhouse"], keys["analyst"]),
            "redis": stores.valkey(self.data, redis_port),
            "s3": s3,
        }
        works = {name: server.start for name, server in self._servers.items()}
        self._all({"kafka": lambda cancelled: self._start_broker(ports, cancelled), **works})
        ports.save()
        self.startup_ms["total"] = round((time.monotonic() - started) * 1000)
        self.addresses = StackAddresses(
            kafka=",".join(broker.address for broker in self._brokers),
            broker_kind=self.broker.kind,
            clickhouse_url=f"http://127.0.0.1:{clickhouse_port}",
            clickhouse_password=keys["clickhouse"],
            analyst_password=keys["analyst"],
            redis_url=f"redis://127.0.0.1:{redis_port}",
            s3_endpoint_url=f"http://127.0.0.1:{s3_port}",
            s3_access_key=keys["s3_access"],
            s3_secret_key=keys["s3_secret"],
            pids={name: child.pid for name, child in self.processes.items()},
        )

    def _start_broker(self, ports: Ports, cancelled: Callable[[], bool]) -> None:
        self._brokers = choose_kafka(
            self._choice,
            self.data,
            ports,
            nodes=self._kafka_nodes,
            jars=self._jars,
            say=self._on_event,
            cancelled=cancelled,
        )
        self._servers.update({broker.name: broker for broker in self._brokers})
        with ThreadPoolExecutor(len(self._brokers)) as pool:
            list(pool.map(lambda broker: broker.start(cancelled), self._brokers))

    @property
    def broker(self) -> Broker:
        """The broker's first node."""
        return self._brokers[0]

    def _all(self, works: dict[str, Callable[[Callable[[], bool]], None]]) -> None:
        """Run the starts in parallel. The first failure, or Ctrl-C, cancels the others."""
        with ThreadPoolExecutor(len(works)) as pool:
            try:
                futures = [pool.submit(self._timed, name, work) for name, work in works.items()]
                wait(futures, return_when=FIRST_EXCEPTION)
                _raise_first(futures)
            except BaseException:
                self._cancelled.set()
                raise

    def _timed(self, name: str, work: Callable[[Callable[[], bool]], None]) -> None:
        started = time.monotonic()
        work(self._cancelled.is_set)
        self.startup_ms[name] = round((time.monotonic() - started) * 1000)
        self._on_event(f"{name} answers after {self.startup_ms[name] / 1000:.1f} s")

    def _secrets(self) -> dict[str, str]:
        """Return the passwords of this data folder, which are created once."""
        path = self.data / "secrets.json"
        if not path.exists():
            stores.write_private(path, json.dumps({name: secrets.token_hex(20) for name in SECRETS}))
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {name: str(content[name]) for name in SECRETS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LpstreamError(f"{path} cannot be read; remove it to create new passwords") from error

    @property
    def processes(self) -> dict[str, ChildProcess]:
        """The child process by store: kafka, clickhouse, redis, s3."""
        return {name: server.process for name, server in self._servers.items()}

    def env(self) -> dict[str, str]:
        """Return the addresses as environment variables for a process that uses the stack."""
        at = self.addresses
        return {
            "LPSTREAM_KAFKA_BOOTSTRAP_SERVERS": at.kafka,
            "LPSTREAM_BROKER": at.broker_kind,
            "LPSTREAM_KAFKA_REPLICATION_FACTOR": str(len(self._brokers)),
            "LPSTREAM_KAFKA_MIN_INSYNC_REPLICAS": str(max(1, len(self._brokers) - 1)),
            "LPSTREAM_CLICKHOUSE_URL": at.clickhouse_url,
            "LPSTREAM_CLICKHOUSE_USER": at.clickhouse_user,
            "LPSTREAM_CLICKHOUSE_PASSWORD": at.clickhouse_password,
            "LPSTREAM_CLICKHOUSE_ANALYST_PASSWORD": at.analyst_password,
            "LPSTREAM_REDIS_URL": at.redis_url,
            "LPSTREAM_S3_ENDPOINT_URL": at.s3_endpoint_url,
            "LPSTREAM_S3_BUCKET": BUCKET,
            "LPSTREAM_S3_ACCESS_KEY_ID": at.s3_access_key,
            "LPSTREAM_S3_SECRET_ACCESS_KEY": at.s3_secret_key,
        }

    def dead(self) -> list[str]:
        """Return the names of stores that do not run."""
        return [name for name, child in self.processes.items() if not child.alive]

    def check(self) -> None:
        """Raise LpstreamError if a store is dead, with how it ended and the last lines of its log."""
        if dead := self.dead():
            raise LpstreamError("\n".join(self.processes[name].obituary() for name in dead))

    def memory_mb(self) -> dict[str, float]:
        """Return the resident memory by store in MB of 2^20 bytes."""
        return {name: child.memory_mb() for name, child in self.processes.items()}

    def versions(self) -> dict[str, str]:
        """Return name and version by store."""
        return {"kafka": self.broker.version(), **stores.versions()}

    def kill(self, name: str) -> None:
        """Send SIGKILL to a store, for fault tests."""
        self._servers[name].kill()

    def restart(self, name: str) -> None:
        """Start a dead store again with its data and ports, and wait until it answers."""
        self._servers[name].restart()

    def stop(self) -> None:
        """Stop all running stores in parallel. Idempotent."""
        self._cancelled.set()
        running = [child for child in self.processes.values() if child.alive]
        try:
            with ThreadPoolExecutor(max(1, len(running))) as pool:
                list(pool.map(ChildProcess.stop, running))
        finally:
            if self._restore_signal:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self._restore_signal = False
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def _raise_first(futures: list[Future[None]]) -> None:
    """Raise the first error of a finished start; the others only report the cancellation."""
    for future in futures:
        if future.done():
            future.result()


def _exit_by_signal(number: int, frame: FrameType | None) -> None:
    """Raise SystemExit with the exit code of a process that a signal ended."""
    raise SystemExit(128 + number)
