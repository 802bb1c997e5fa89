"""The embedded stack: broker, ClickHouse, Redis and S3 as child processes under one data folder."""

import fcntl
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from infra.embedded import stores
from infra.embedded.kafka import Broker, Choice, Kind, open_broker
from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from schemas.errors import LpstreamError

WRITER, ANALYST, BUCKET = "lpstream", "analyst", "lpstream"


@dataclass(frozen=True)
class StackAddresses:
    """Where each store is, and what opens it."""

    kafka: str
    broker: Kind
    clickhouse_url: str
    clickhouse_password: str
    analyst_password: str
    redis_url: str
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str

    def env(self) -> dict[str, str]:
        """The same as settings, for a process that uses the stack."""
        return {
            "LPSTREAM_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "LPSTREAM_BROKER": self.broker,
            "LPSTREAM_CLICKHOUSE_URL": self.clickhouse_url,
            "LPSTREAM_CLICKHOUSE_USER": WRITER,
            "LPSTREAM_CLICKHOUSE_PASSWORD": self.clickhouse_password,
            "LPSTREAM_CLICKHOUSE_ANALYST_PASSWORD": self.analyst_password,
            "LPSTREAM_REDIS_URL": self.redis_url,
            "LPSTREAM_S3_ENDPOINT_URL": self.s3_endpoint_url,
            "LPSTREAM_S3_BUCKET": BUCKET,
            "LPSTREAM_S3_ACCESS_KEY_ID": self.s3_access_key,
            "LPSTREAM_S3_SECRET_ACCESS_KEY": self.s3_secret_key,
        }


class Stack:
    """Context manager: everything answers when it is entered, everything is gone when it is left."""

    def __init__(
        self,
        data: Path,
        kafka: Choice = "auto",
        *,
        jar_folder: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`jar_folder` keeps Apache Kafka's jars (default: in `data`); `say` takes a line for the user."""
        self.data = data.resolve()
        self._choice: Choice = kafka
        self._jar_folder = (jar_folder or self.data / "kafka").resolve()
        self._say = say
        self._lock: IO[str] | None = None
        self.broker: Broker
        self.processes: dict[str, ChildProcess] = {}
        self.startup_ms: dict[str, int] = {}
        self.addresses: StackAddresses

    def __enter__(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        self._lock = (self.data / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise LpstreamError(f"{self.data} is in use by another lpstream; stop it, or use --data") from error
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

    def _start(self) -> None:
        ports = Ports(self.data)
        keys = self._secrets()
        broker = open_broker(
            self._choice,
            self.data,
            self._jar_folder,
            ports.get("kafka"),
            ports.get("kafka.controller"),
            self._say,
        )
        clickhouse_port, redis_port = ports.get("clickhouse"), ports.get("redis")
        clickhouse = stores.clickhouse(self.data, clickhouse_port, keys["clickhouse"], keys["analyst"])
        redis = stores.valkey(self.data, redis_port)
        s3, s3_port = stores.seaweedfs(self.data, ports, keys["s3_access"], keys["s3_secret"])
        self.broker = broker
        self.processes = {"kafka": broker.process, "clickhouse": clickhouse, "redis": redis, "s3": s3}
        # children are started by this thread: the kernel ties their life to the thread that made them
        for child in (clickhouse, redis, s3):
            child.start()
        self._timed("kafka", broker.start)
        waits: dict[str, Callable[[], None]] = {
            "clickhouse": lambda: stores.wait_clickhouse(clickhouse, clickhouse_port),
            "redis": lambda: stores.wait_valkey(redis, redis_port),
            "s3": lambda: stores.wait_seaweedfs(s3, s3_port),
        }
        with ThreadPoolExecutor(len(waits)) as pool:
            for done in [pool.submit(self._timed, name, wait) for name, wait in waits.items()]:
                done.result()
        self.addresses = StackAddresses(
            kafka=broker.address,
            broker=broker.kind,
            clickhouse_url=f"http://127.0.0.1:{clickhouse_port}",
            clickhouse_password=keys["clickhouse"],
            analyst_password=keys["analyst"],
            redis_url=f"redis://127.0.0.1:{redis_port}",
            s3_endpoint_url=f"http://127.0.0.1:{s3_port}",
            s3_access_key=keys["s3_access"],
            s3_secret_key=keys["s3_secret"],
        )

    def _timed(self, name: str, work: Callable[[], None]) -> None:
        started = time.monotonic()
        work()
        self.startup_ms[name] = int((time.monotonic() - started) * 1000)

    def _secrets(self) -> dict[str, str]:
        """Passwords of this data folder, made once."""
        path = self.data / "secrets.json"
        if not path.exists():
            names = ("clickhouse", "analyst", "s3_access", "s3_secret")
            made = {name: secrets.token_urlsafe(18) for name in names}
            stores.write_private(path, json.dumps(made))
        kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return kept

    def dead(self) -> list[ChildProcess]:
        """Stores that have ended although nobody stopped them."""
        return [child for child in self.processes.values() if not child.alive]

    def versions(self) -> dict[str, str]:
        """Name and version of each store."""
        name = {"apache": "apache kafka", "tansu": "tansu"}[self.broker.kind]
        return {"kafka": f"{name} {self.broker.version()}", **stores.versions()}

    def stop(self) -> None:
        """Stop what runs, all at once; safe to call again."""
        running = [child for child in self.processes.values() if child.pid]
        with ThreadPoolExecutor(max(1, len(running))) as pool:
            list(pool.map(ChildProcess.stop, running))
        self.processes = {}
        if self._lock is not None:
            self._lock.close()
            self._lock = None
