"""The stack in containers, for machines with a Docker engine: Kafka, ClickHouse server, Redis.

S3 is still SeaweedFS as a child process. Each container has a fixed free port of this machine, which it keeps over a
restart, so that tests can kill and restart these stores as they do the embedded ones.
"""

import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from testcontainers.core.container import DockerContainer

from infra.embedded import stores
from infra.embedded.kafka import is_answering, kafka_version
from infra.embedded.ports import Ports
from infra.embedded.stack import ANALYST, WRITER, Stack, StackAddresses
from schemas.errors import LpstreamError

CLICKHOUSE_IMAGE, REDIS_IMAGE = "clickhouse/clickhouse-server:26.9", "valkey/valkey:9.1"
READY_S, POLL_S = 120.0, 0.1


def docker_answers() -> bool:
    """Return whether a Docker engine answers."""
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


class ContainerServer:
    """A store in a container, with the interface of infra.embedded's Server and ChildProcess."""

    kind = "apache"

    def __init__(
        self, name: str, image: str, inner: int, outer: int, env: dict[str, str], ready: Callable[[], bool]
    ) -> None:
        self.name = name
        self.image = image
        self.address = f"127.0.0.1:{outer}"
        self.process = self
        self.ready_ms = 0
        self._ready = ready
        self._container = DockerContainer(image).with_bind_ports(inner, outer)
        for key, value in env.items():
            self._container.with_env(key, value)

    def start(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start the container and wait until the store answers."""
        self._container.start()
        self._wait(cancelled)

    def _wait(self, cancelled: Callable[[], bool]) -> None:
        started = time.monotonic()
        while not self._ready():
            if cancelled() or time.monotonic() - started > READY_S:
                raise LpstreamError(f"{self.name} ({self.image}) does not answer\n{self.tail()}")
            time.sleep(POLL_S)
        self.ready_ms = round((time.monotonic() - started) * 1000)

    @property
    def _docker(self) -> Any:
        return self._container.get_wrapped_container()

    @property
    def alive(self) -> bool:
        """Return whether the container runs."""
        if self._docker is None:
            return False
        self._docker.reload()
        return bool(self._docker.status == "running")

    @property
    def pid(self) -> int:
        """Return the process id on the host, 0 if the container does not run."""
        return int(self._docker.attrs["State"]["Pid"]) if self.alive else 0

    def kill(self) -> None:
        """Kill the container with SIGKILL."""
        self._docker.kill()

    def restart(self) -> None:
        """Start the container again with its data and port."""
        self._docker.start()
        self._wait(lambda: False)

    def stop(self) -> None:
        """Stop and remove the container."""
        self._container.stop()

    def memory_mb(self) -> float:
        """Return the container's memory in MB of 2^20 bytes."""
        return float(self._docker.stats(stream=False)["memory_stats"].get("usage", 0)) / 2**20

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        return str(self._docker.logs(tail=lines).decode(errors="replace"))

    def obituary(self) -> str:
        """Return a message about the stopped container, with the end of its log."""
        return f"{self.name} ({self.image}) does not run\n{self.tail()}"

    def version(self) -> str:
        """Return the image."""
        return self.image


class ContainerStack(Stack):
    """The stack with Kafka, ClickHouse and Redis in containers."""

    def _start(self) -> None:
        started = time.monotonic()
        ports, keys = Ports(self.data), self._secrets()
        number = {name: ports.get(name) for name in ("kafka", "clickhouse", "redis")}
        s3, s3_port = stores.seaweedfs(self.data, ports, keys["s3_access"], keys["s3_secret"])
        kafka = _kafka(number["kafka"])
        url = f"http://127.0.0.1:{number['clickhouse']}"
        clickhouse = _clickhouse(number["clickhouse"], url, keys["clickhouse"])
        redis = ContainerServer("redis", REDIS_IMAGE, 6379, number["redis"], {}, lambda: stores._pongs(number["redis"]))
        self._servers = {"clickhouse": clickhouse, "redis": redis, "s3": s3, "kafka": kafka}  # type: ignore[dict-item]
        self._brokers = [kafka]  # type: ignore[list-item]
        self._all({name: server.start for name, server in self._servers.items()})
        ports.save()
        _create_analyst(url, keys["clickhouse"], keys["analyst"])
        self.startup_ms["total"] = round((time.monotonic() - started) * 1000)
        self.addresses = StackAddresses(
            kafka=kafka.address,
            broker_kind="apache",
            clickhouse_url=url,
            clickhouse_password=keys["clickhouse"],
            analyst_password=keys["analyst"],
            redis_url=f"redis://127.0.0.1:{number['redis']}",
            s3_endpoint_url=f"http://127.0.0.1:{s3_port}",
            s3_access_key=keys["s3_access"],
            s3_secret_key=keys["s3_secret"],
            pids={name: child.pid for name, child in self.processes.items()},
        )

    def versions(self) -> dict[str, str]:
        """Return the images and SeaweedFS's version."""
        images = {name: one.image for name, one in self._servers.items() if isinstance(one, ContainerServer)}
        return {**stores.versions(), **images}


def _kafka(port: int) -> ContainerServer:
    env = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:9093",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    image = f"apache/kafka:{kafka_version()}"
    return ContainerServer("kafka", image, 9092, port, env, lambda: is_answering(port))


def _clickhouse(port: int, url: str, password: str) -> ContainerServer:
    env = {
        "CLICKHOUSE_USER": WRITER,
        "CLICKHOUSE_PASSWORD": password,
        "CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT": "1",
    }
    return ContainerServer("clickhouse", CLICKHOUSE_IMAGE, 8123, port, env, lambda: _pings(url))


def _pings(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ping", timeout=2) as answer:
            return bool(answer.read() == b"Ok.\n")
    except (urllib.error.URLError, OSError):
        return False


def _create_analyst(url: str, password: str, analyst_password: str) -> None:
    """Create the read-only user; `readonly = 2` allows the settings that clickhouse-connect sends."""
    for statement in (
        f"CREATE USER IF NOT EXISTS {ANALYST} IDENTIFIED BY '{analyst_password}' SETTINGS readonly = 2",
        f"GRANT SELECT ON lpstream.* TO {ANALYST}",
        f"GRANT SELECT ON system.* TO {ANALYST}",
    ):
        login = {"X-ClickHouse-User": WRITER, "X-ClickHouse-Key": password}
        request = urllib.request.Request(f"{url}/", data=statement.encode(), headers=login, method="POST")
        urllib.request.urlopen(request, timeout=10).close()
