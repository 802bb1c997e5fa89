"""The lab of page generation: a stack, a worker, a simulated provider, and requests at a fixed pace."""

import asyncio
import contextlib
import math
import os
import random
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.generation.mix import Mix, Pattern
from streams.local.installation import MALLOC
from streams.local.prepare import prepare
from streams.proof.bench.lab import TICKS_PER_S, Say
from streams.proof.orders import Answer, orders
from streams.proof.provider.remote import RemoteProvider, settings_of
from streams.proof.provider.script import Script
from streams.runtime.settings import PREFIX, Settings

READY_S, ANSWERED_WITHIN_S, LOOK_S = 60.0, 60.0, 0.05
TENANTS = """\
[warming]
day_yen = 1000000
[[tenant]]
id = "demo"
lp_ids = ["*"]
[tenant.caps]
day_yen = 1000000
"""


@dataclass(frozen=True, slots=True)
class Flow:
    """A run: its answers, processor seconds by process, and its duration in seconds."""

    answers: list[Answer]
    cpu_s: dict[str, float]
    seconds: float

    def figures(self) -> dict[str, Any]:
        """Return percentiles of total and own time, counts by status and cache, and cores by process."""
        results = [answer.result for answer in self.answers]
        count = len(results)
        return {
            "requests": count,
            "total_ms": spread([answer.total_ms for answer in self.answers]),
            "own_ms": spread([answer.own_ms for answer in self.answers]),
            "degraded_share": round(sum(result["status"] == "degraded" for result in results) / count, 4),
            "status": dict(Counter(result["status"] for result in results)),
            "cache": dict(Counter(result["cache"] for result in results)),
            "cores": {name: round(used / self.seconds, 2) for name, used in self.cpu_s.items()},
            "seconds": round(self.seconds, 1),
        }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 (nearest rank) and the maximum."""
    ordered = sorted(values)
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in ranks.items()}


@contextlib.contextmanager
def pages_lab(stack: Stack | None, folder: Path, say: Say, script: Script) -> Iterator["PagesLab"]:
    """Open a lab on the stack, which must run no generation worker. None starts a stack below `folder`."""
    with contextlib.ExitStack() as opened:
        if stack is None:
            stack = opened.enter_context(Stack(folder / "stack", on_event=say))
        values: Any = {name.removeprefix(PREFIX).lower(): value for name, value in stack.env().items()}
        asyncio.run(prepare(Settings(**values)))
        ports = Ports(stack.data)
        provider = RemoteProvider("bench-provider", ports.get("bench-provider"), stack.data / "logs" / "provider.log")
        provider.start(script)
        opened.callback(provider.process.stop)
        yield PagesLab(stack, provider, ports, say)


class PagesLab:
    """A stack, a provider, and a worker that runs inside `worker`."""

    def __init__(self, stack: Stack, provider: RemoteProvider, ports: Ports, say: Say) -> None:
        self.stack = stack
        self.provider = provider
        self.say = say
        self._port = ports.get("bench-generation")
        tenants = stack.data / "bench-tenants.toml"
        tenants.write_text(TENANTS, encoding="utf-8")
        self._env = stack.env() | MALLOC | settings_of([provider]) | {"LPSTREAM_TENANTS_FILE": str(tenants)}
        self._env["LPSTREAM_WORKER_METRICS_PORT"] = str(self._port)
        values: Any = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in self._env.items()
            if name.startswith(PREFIX) and name != "LPSTREAM_LLM_PROVIDERS"
        }
        self.settings = Settings(**values, llm_providers=[provider.setting()])
        self._worker: ChildProcess | None = None

    @contextlib.contextmanager
    def worker(self) -> Iterator[ChildProcess]:
        """Run a generation worker with all partitions."""
        log = self.stack.data / "logs" / "bench-generation.log"
        args = [sys.executable, "-m", "streams", "worker", "generation"]
        child = self._worker = ChildProcess("bench-generation", args, log=log, env=self._env)
        child.grace_s = 15
        try:
            child.start()
            child.wait_ready(self._ready, READY_S)
            yield child
        finally:
            child.stop()
            self._worker = None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    def flow(self, patterns: Iterable[Pattern], per_minute: float) -> Flow:
        """Send requests at a fixed pace, and return the flow with all answers."""
        seed = random.SystemRandom().randrange(2**32)
        requests = [pattern.request(number, seed) for number, pattern in enumerate(patterns)]
        return asyncio.run(self._flow(requests, per_minute))

    async def _flow(self, requests: list[dict[str, Any]], per_minute: float) -> Flow:
        async with orders(self.settings.kafka_bootstrap_servers, self.settings.broker) as sent:
            before, started = self._cpu_s(), time.monotonic()
            await sent.flow(requests, per_minute)
            answers = await sent.wait(ANSWERED_WITHIN_S)
            seconds = time.monotonic() - started
        used = {name: value - before.get(name, 0.0) for name, value in self._cpu_s().items()}
        return Flow(answers, used, seconds)

    def _cpu_s(self) -> dict[str, float]:
        """Return the processor seconds so far by process; `drawing` is the worker's child processes."""
        pids = {name: child.pid for name, child in self.stack.processes.items()}
        pids |= {"provider": self.provider.process.pid, "load": os.getpid()}
        if self._worker is not None:
            pids["generation"] = self._worker.pid
        used = {name: _used_s(pid) for name, pid in pids.items()}
        if self._worker is not None:
            used["drawing"] = sum(_used_s(child) for child in _children(self._worker.pid))
        return used


def _used_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def cold(count: int) -> list[Pattern]:
    """Return patterns of the mix, each with a unique keyword, so that none is in the cache."""
    mix, rng = Mix.load(), random.Random(7)
    drawn = (mix.draw(rng) for _ in range(count))
    novel = random.SystemRandom().randrange(2**32)
    return [
        Pattern(
            pattern.industry, pattern.purpose, (f"品{novel:08x}{number}",), pattern.tone, pattern.quality, pattern.given
        )
        for number, pattern in enumerate(drawn)
    ]


def mixed(count: int, seed: int = 11) -> list[Pattern]:
    """Return patterns drawn from the mix."""
    mix, rng = Mix.load(), random.Random(seed)
    return [mix.draw(rng) for _ in range(count)]
