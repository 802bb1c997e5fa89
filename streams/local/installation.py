"""The services of one installation as child processes on the embedded stack."""

import contextlib
import hashlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from infra.embedded.ports import Ports, is_free
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from schemas.errors import LpstreamError
from streams.local.addresses import remove_addresses, write_addresses
from streams.runtime.settings import PREFIX, load_settings
from streams.runtime.supervisor import Restarts

READY_S = 180
STOP_S = 15
WORKERS = ("heatmap", "generation", "optimizer")
NAMES = {"edge": ["edge"], **{name: ["worker", name] for name in WORKERS}}
LONGEST_PAUSE_S = 30.0
# longer than the 5 s between two beacons of a visitor, so that each connection in use gets one more response
EDGE_DRAIN_S = 8.0
# limits per client are off: all visitors of an installation on one machine have the same address
ONE_ADDRESS = {
    "LPSTREAM_EDGE_CLIENT_RATE": "0",
    "LPSTREAM_EDGE_CLIENT_BYTE_RATE": "0",
    "LPSTREAM_EDGE_CLIENT_CONNECTIONS": "0",
    "LPSTREAM_EDGE_CLIENT_BODY_BYTES": "0",
}
# no cache stands before an installation on one machine, so visits count from the start of an experiment
NO_CACHE = {"LPSTREAM_EXPERIMENT_SETTLE_S": "0"}
# the fold's large temporary arrays cause fewer page faults if glibc keeps their memory
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "33554432"}


class Installation:
    """The edge and workers on a stack; a service that dies is restarted, a dead store is an error.

    As a context manager it starts the services, and stops them when the block ends.
    """

    def __init__(
        self,
        stack: Stack,
        say: Callable[[str], None],
        overrides: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
    ) -> None:
        """Set the ports and the token; `overrides` replace settings of the stack for all services.

        `port` is the port of the public listener; the private listener has the next. None: those of the last start.
        """
        self._stack = stack
        self._overrides = dict(overrides or {})
        self._say = say
        ports = Ports(stack.data)
        health = [f"{name}.health{turn}" for name in WORKERS for turn in ("", "-b")]
        self._ports = {name: ports.get(name) for name in ("edge", "api", *health)}
        ports.save()
        if port is not None:
            self._ports |= {"edge": _free(port), "api": _free(port + 1)}
        self.token = _token(stack.data / "token")
        self.edge_url = f"http://127.0.0.1:{self._ports['edge']}"
        self.api_url = f"http://127.0.0.1:{self._ports['api']}"
        self.children: dict[str, ChildProcess] = {}
        self._sockets: list[socket.socket] = []
        self._turn = dict.fromkeys(NAMES, 0)  # 0 or 1: a service and its successor alternate between two ports
        self._restarts = {name: Restarts(LONGEST_PAUSE_S) for name in NAMES}

    def __enter__(self) -> Self:
        """Start all services; stop them if one does not start."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all services."""
        self.stop()

    def start(self) -> None:
        """Start all services, wait until each is ready, and write `doors.json`."""
        self._write_tenants()
        self._listen()
        for name in NAMES:
            self.launch(name)
        for name, child in self.children.items():
            child.wait_ready(lambda name=name: answers(self.ready_url(name)), READY_S)  # type: ignore[misc]
        self.write_addresses()

    def _listen(self) -> None:
        """Open the edge's sockets here, so that clients wait during a restart instead of being refused."""
        name = f"{PREFIX}EDGE_PROCESSES"
        given = {"edge_processes": self.settings()[name]} if name in self.settings() else {}
        if load_settings(**given).edge_processes == 1:
            ports = [self._ports["edge"], self._ports["api"]]
            self._sockets = [socket.create_server(("127.0.0.1", port)) for port in ports]

    def _write_tenants(self) -> None:
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        text = f'[[tenant]]\nid = "demo"\nlp_ids = ["*"]\n\n[[tenant.token]]\nsha256 = "{digest}"\nrole = "operator"\n'
        self._tenants_file.write_text(text, encoding="utf-8")

    @property
    def _tenants_file(self) -> Path:
        return self._stack.data / "tenants.toml"

    def settings(self) -> dict[str, str]:
        """Return the settings of all services, by environment variable."""
        return self._stack.env() | {
            "LPSTREAM_EDGE_PORT": str(self._ports["edge"]),
            "LPSTREAM_API_PORT": str(self._ports["api"]),
            "LPSTREAM_TENANTS_FILE": str(self._tenants_file),
            "LPSTREAM_API_TOKEN": self.token,
            **ONE_ADDRESS,
            **NO_CACHE,
            **self._overrides,
        }

    def _env(self, name: str, turn: int) -> dict[str, str]:
        env = self.settings() | MALLOC
        if name == "edge":
            return env | {"LPSTREAM_EDGE_DRAIN_S": str(EDGE_DRAIN_S)}
        env["LPSTREAM_WORKER_METRICS_PORT"] = str(self._health_port(name, turn))
        if self._stack.addresses.broker_kind == "apache":
            env["LPSTREAM_KAFKA_GROUP_INSTANCE_ID"] = f"embedded-{name}{'-b' if turn else ''}"
        return env

    def _health_port(self, name: str, turn: int) -> int:
        return self._ports[f"{name}.health{'-b' if turn else ''}"]

    def launch(self, name: str, overrides: Mapping[str, str] | None = None) -> None:
        """Start a service without waiting until it is ready; `overrides` are settings for this start only."""
        self.children[name] = self._child(name, self._env(name, self._turn[name]) | dict(overrides or {}))
        self.children[name].start()
        self._restarts[name].started()

    def spare(self, name: str, number: int) -> ChildProcess:
        """Return one more process of a service, which the caller starts and stops."""
        env = self._env(name, 0) | {"LPSTREAM_WORKER_METRICS_PORT": "0"}
        if "LPSTREAM_KAFKA_GROUP_INSTANCE_ID" in env:
            env["LPSTREAM_KAFKA_GROUP_INSTANCE_ID"] += f"-{number}"
        return self._child(name, env)

    def replace(self, name: str, overrides: Mapping[str, str] | None = None) -> None:
        """Replace a service without downtime: start a successor, then send SIGTERM to the old process.

        SIGTERM is sent when the successor can take work. For a worker this is when it joins the group, so that
        partitions move once and the two processes never share them. Returns when the old process has ended and the
        successor is ready. `overrides` are settings for the successor only.
        LpstreamError if the successor does not start (the old process then stays), or if the edge has several
        processes, because these cannot share a socket.
        """
        if name == "edge" and not self._sockets:
            raise LpstreamError(f"{PREFIX}EDGE_PROCESSES: must be 1 to replace the edge without downtime")
        old, turn = self.children[name], 1 - self._turn[name]
        with ReadyNotice() as notice:
            env = self._env(name, turn) | dict(overrides or {}) | {"NOTIFY_SOCKET": notice.address}
            successor = self._child(name, env)
            successor.start()
            try:
                successor.wait_ready(notice.heard, READY_S)
            except LpstreamError:
                successor.stop()
                raise
        self.children[name], self._turn[name] = successor, turn
        self.write_addresses()
        old.stop_signal, old.grace_s = signal.SIGTERM, EDGE_DRAIN_S + STOP_S
        old.stop()
        successor.wait_ready(lambda: answers(self.ready_url(name)), READY_S)

    def _child(self, name: str, env: dict[str, str]) -> ChildProcess:
        args = [sys.executable, "-m", "streams", *NAMES[name]]
        sockets = self._sockets if name == "edge" else []
        child = ChildProcess(name, args, log=self._stack.data / "logs" / f"{name}.log", env=env, sockets=sockets)
        child.grace_s = STOP_S
        if name == "edge":
            child.stop_signal = signal.SIGINT  # stops without draining, because no successor takes the connections
        return child

    def ready_url(self, name: str) -> str:
        """Return the URL that answers 200 when the service is ready."""
        port = self._ports["edge"] if name == "edge" else self._health_port(name, self._turn[name])
        return f"http://127.0.0.1:{port}/readyz"

    def doors(self) -> dict[str, Any]:
        """Return the content of `doors.json`."""
        addresses = self._stack.addresses
        host = addresses.clickhouse_url.removeprefix("http://")
        return {
            "edge": self.edge_url,
            "api": self.api_url,
            "token": self.token,
            "kafka": addresses.kafka,
            "clickhouse": f"http://analyst:{addresses.analyst_password}@{host}",
            "redis": addresses.redis_url,
            "s3": addresses.s3_endpoint_url,
            "services": {name: {"pid": child.pid} for name, child in self.children.items()},
        }

    def write_addresses(self) -> None:
        """Write `doors.json` and `settings.json` anew."""
        write_addresses(self._stack.data, self.doors(), self.settings())

    def watch(self) -> None:
        """Start dead services again, each after its pause. Raise LpstreamError if a store is gone."""
        self._stack.check()
        for name, child in list(self.children.items()):
            if not child.alive:
                self._revive(name, child)

    def _revive(self, name: str, child: ChildProcess) -> None:
        restarts = self._restarts[name]
        if not restarts.pausing:
            self._say(f"{name} ended with code {child.returncode}; restarting it (log: {child.log})")
        if restarts.due():
            self.launch(name)
            self.write_addresses()

    def stop(self) -> None:
        """Stop the services, workers first."""
        remove_addresses(self._stack.data)
        for child in reversed(list(self.children.values())):
            child.stop()
        for listener in self._sockets:
            listener.close()


def _token(file: Path) -> str:
    """Return the token of the data folder, which stays the same from one start to the next."""
    with contextlib.suppress(FileNotFoundError):
        if token := file.read_text("ascii").strip():
            return token
    token = secrets.token_urlsafe(24)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
        out.write(token)
    return token


def _free(port: int) -> int:
    """Return the port. Raise LpstreamError if another program listens there."""
    if not is_free(port):
        raise LpstreamError(f"--port: {port} of 127.0.0.1 is in use; give another port, or leave --port out")
    return port


class ReadyNotice:
    """The receiver of one process's ready notice, by the protocol of sd_notify(3)."""

    def __enter__(self) -> Self:
        """Open the socket."""
        self._folder = tempfile.TemporaryDirectory(prefix="lpstream-ready-")
        self.address = str(Path(self._folder.name) / "notice")
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.setblocking(False)
        self._line.bind(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket and remove its folder."""
        self._line.close()
        self._folder.cleanup()

    def heard(self) -> bool:
        """Return whether READY=1 has arrived since the last call."""
        try:
            return b"READY=1" in self._line.recv(4_096)
        except BlockingIOError:
            return False


def answers(url: str) -> bool:
    """Return whether a GET of the URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False
