"""The services of one installation as child processes on the embedded stack."""

import hashlib
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.doors import remove_doors, write_doors

READY_S = 60
STOP_S = 15
NAMES = {"edge": ["edge"], "heatmap": ["worker", "heatmap"], "generation": ["worker", "generation"]}
LONGEST_PAUSE_S = 30.0
# every visitor of an installation on one machine has the same address
ONE_ADDRESS = {"LPSTREAM_EDGE_CLIENT_RATE": "0", "LPSTREAM_EDGE_CLIENT_CONNECTIONS": "0"}
# the fold's large temporaries cost fewer page faults when glibc keeps them
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "536870912", "MALLOC_MMAP_THRESHOLD_": "268435456"}


class Installation:
    """Edge and workers beside a stack; restarts a service that dies, ends when a store dies."""

    def __init__(self, stack: Stack, say: Callable[[str], None], overrides: Mapping[str, str] | None = None) -> None:
        """`overrides` are settings that all services get instead of the stack's own."""
        self._stack = stack
        self._overrides = dict(overrides or {})
        self._say = say
        ports = Ports(stack.data)
        self._ports = {name: ports.get(name) for name in ("edge", "api", *(f"{one}.health" for one in NAMES))}
        ports.save()
        self.token = secrets.token_urlsafe(24)
        self.edge_url = f"http://127.0.0.1:{self._ports['edge']}"
        self.api_url = f"http://127.0.0.1:{self._ports['api']}"
        self.children: dict[str, ChildProcess] = {}
        self._failures: dict[str, int] = {}

    def start(self) -> None:
        """Start all services, return when each is ready, and write `doors.json`."""
        self._write_tenants()
        for name in NAMES:
            self.launch(name)
        for name, child in self.children.items():
            child.wait_ready(lambda name=name: _answers(self._ready_url(name)), READY_S)  # type: ignore[misc]
        self.write_doors()

    def _write_tenants(self) -> None:
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        text = f'[[tenant]]\nid = "demo"\nlp_ids = ["*"]\n\n[[tenant.token]]\nsha256 = "{digest}"\nrole = "operator"\n'
        self._tenants_file.write_text(text, encoding="utf-8")

    @property
    def _tenants_file(self) -> Path:
        return self._stack.data / "tenants.toml"

    def settings(self) -> dict[str, str]:
        """What every service is told, by environment variable."""
        return self._stack.env() | {
            "LPSTREAM_EDGE_PORT": str(self._ports["edge"]),
            "LPSTREAM_API_PORT": str(self._ports["api"]),
            "LPSTREAM_TENANTS_FILE": str(self._tenants_file),
            "LPSTREAM_API_TOKEN": self.token,
            **ONE_ADDRESS,
            **self._overrides,
        }

    def _env(self, name: str) -> dict[str, str]:
        env = self.settings() | MALLOC | {"LPSTREAM_WORKER_METRICS_PORT": str(self._ports[f"{name}.health"])}
        if self._stack.addresses.broker_kind == "apache" and name != "edge":
            env["LPSTREAM_KAFKA_GROUP_INSTANCE_ID"] = f"embedded-{name}"
        return env

    def launch(self, name: str, overrides: Mapping[str, str] | None = None) -> None:
        """Start a service; the caller waits until it is ready. `overrides` are settings for this start alone."""
        self.children[name] = self._child(name, self._env(name) | dict(overrides or {}))
        self.children[name].start()

    def spare(self, name: str, number: int) -> ChildProcess:
        """One more process of a service, not started; the caller stops it."""
        env = self._env(name) | {"LPSTREAM_WORKER_METRICS_PORT": "0"}
        if "LPSTREAM_KAFKA_GROUP_INSTANCE_ID" in env:
            env["LPSTREAM_KAFKA_GROUP_INSTANCE_ID"] += f"-{number}"
        return self._child(name, env)

    def _child(self, name: str, env: dict[str, str]) -> ChildProcess:
        args = [sys.executable, "-m", "streams", *NAMES[name]]
        child = ChildProcess(name, args, log=self._stack.data / "logs" / f"{name}.log", env=env)
        child.grace_s = STOP_S
        return child

    def _ready_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports['edge' if name == 'edge' else f'{name}.health']}/readyz"

    def doors(self) -> dict[str, Any]:
        """The contents of `doors.json`."""
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

    def write_doors(self) -> None:
        """Bring `doors.json` up to date."""
        write_doors(self._stack.data, self.doors(), self.settings())

    def watch(self) -> None:
        """One look around: restart dead services, LpstreamError when a store is gone."""
        self._stack.check()
        for name, child in list(self.children.items()):
            if not child.alive:
                self._revive(name, child)

    def _revive(self, name: str, child: ChildProcess) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        self._say(f"{name} ended with code {child.returncode}, starting it again ({child.log})")
        time.sleep(min(LONGEST_PAUSE_S, 0.5 * 2 ** min(failures - 1, 6)))
        self.launch(name)
        self.write_doors()

    def stop(self) -> None:
        """Stop the services, workers first."""
        remove_doors(self._stack.data)
        for child in reversed(list(self.children.values())):
            child.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False
