"""The lab of page generation: a stack, a worker, a simulated provider, and requests at a fixed pace."""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.generation.mix import Mix, Pattern
from streams.local.installation import MALLOC, answers
from streams.local.prepare import prepare, settings_of
from streams.proof.bench.frame import Say, own_stack
from streams.proof.orders import Answer, orders
from streams.proof.percentiles import spread
from streams.proof.processes import children_of, cpu_s
from streams.proof.provider.remote import RemoteProvider, provider_on, provider_settings, settings_with
from streams.proof.provider.script import Script

READY_S, ANSWERED_WITHIN_S = 60.0, 60.0
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


@contextlib.contextmanager
def pages_lab(say: Say, script: Script) -> Iterator["PagesLab"]:
    """Open a lab on a stack of its own, with a provider that plays the script."""
    with own_stack(say) as stack:
        asyncio.run(prepare(settings_of(stack)))
        with provider_on(stack, "bench-provider", script) as provider:
            yield PagesLab(stack, provider, say)


class PagesLab:
    """A stack, a provider, and a worker that runs inside `worker`."""

    def __init__(self, stack: Stack, provider: RemoteProvider, say: Say) -> None:
        self.stack = stack
        self.provider = provider
        self.say = say
        port = Ports(stack.data).get("bench-generation")
        self._ready_url = f"http://127.0.0.1:{port}/readyz"
        tenants = stack.data / "bench-tenants.toml"
        tenants.write_text(TENANTS, encoding="utf-8")
        self._env = stack.env() | MALLOC | provider_settings([provider]) | {"LPSTREAM_TENANTS_FILE": str(tenants)}
        self._env["LPSTREAM_WORKER_METRICS_PORT"] = str(port)
        self.settings = settings_with(self._env, provider)
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
            child.wait_ready(lambda: answers(self._ready_url), READY_S)
            yield child
        finally:
            child.stop()
            self._worker = None

    def flow(self, patterns: Iterable[Pattern], per_minute: float) -> Flow:
        """Send requests at a fixed pace, and return the flow with all answers."""
        seed = random.SystemRandom().randrange(2**32)
        requests = [pattern.request(number, seed) for number, pattern in enumerate(patterns)]
        return asyncio.run(self._flow(requests, per_minute))

    async def _flow(self, requests: list[dict[str, Any]], per_minute: float) -> Flow:
        async with orders(self.settings.kafka_bootstrap_servers, self.settings.broker) as sent:
            before, started = self._cpu_s(), time.monotonic()
            await sent.flow(requests, per_minute)
            received = await sent.wait(ANSWERED_WITHIN_S)
            seconds = time.monotonic() - started
        used = {name: value - before.get(name, 0.0) for name, value in self._cpu_s().items()}
        return Flow(received, used, seconds)

    def _cpu_s(self) -> dict[str, float]:
        """Return the processor seconds so far by process; `drawing` is the worker's child processes."""
        pids = {name: child.pid for name, child in self.stack.processes.items()}
        pids |= {"provider": self.provider.process.pid, "load": os.getpid()}
        if self._worker is not None:
            pids["generation"] = self._worker.pid
        used = {name: _used_s(pid) for name, pid in pids.items()}
        if self._worker is not None:
            used["drawing"] = 0.0
            with contextlib.suppress(OSError):
                used["drawing"] = sum(map(_used_s, children_of(self._worker.pid)))
        return used


def _used_s(pid: int) -> float:
    with contextlib.suppress(OSError):
        return cpu_s(pid)
    return 0.0  # the process has ended


def cold(count: int) -> list[Pattern]:
    """Return patterns of the mix, each with a unique keyword, so that none is in the cache."""
    mix, rng = Mix.load(), random.Random(7)
    drawn = (mix.draw(rng) for _ in range(count))
    novel = random.SystemRandom().randrange(2**32)
    return [replace(pattern, keywords=(f"品{novel:08x}{number}",), share=0.0) for number, pattern in enumerate(drawn)]


def mixed(count: int, seed: int = 11) -> list[Pattern]:
    """Return patterns drawn from the mix."""
    mix, rng = Mix.load(), random.Random(seed)
    return [mix.draw(rng) for _ in range(count)]
