"""An optimizer that dies at a chosen call of its work, and the tests' way to run it."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.embedded.stack import Stack
from infra.redis.experiments import ExperimentStore
from infra.redis.line import open_redis
from streams.experiments.optimizer import Optimizer
from streams.experiments.worker import LEASE, run_optimizer
from streams.local.installation import Installation
from streams.runtime.settings import load_settings

ROOT = Path(__file__).parents[2]
WITHIN_S, KILLED = 180.0, 9
# the call at which the optimizer dies, and whether it dies before or after it
KILLED_AT = {
    "before the first write": ("begin_transaction", "before"),
    "within a transaction": ("send", "after"),
    "before the commit": ("commit_transaction", "before"),
    "after the commit": ("commit_transaction", "after"),
    "before the view": ("put", "before"),
    "after the view": ("put", "after"),
}


async def free_lease(stack: Stack) -> None:
    """Let the lease of a dead optimizer expire at once."""
    redis = open_redis(stack.addresses.redis_url)
    await redis.delete(LEASE)
    await redis.aclose()


async def die(stack: Stack, installation: Installation, work: str, call: str, when: str) -> None:
    """Run an optimizer that dies at this call, in its first `work` (a method) that has something to do."""
    await free_lease(stack)
    env = os.environ | installation.settings() | {"LPSTREAM_WORKER_METRICS_PORT": "0", "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    command = [sys.executable, __file__, work, call, when]
    done = await asyncio.to_thread(subprocess.run, command, env=env, timeout=WITHIN_S, check=False)
    print(f"{when} {call}: ended after {time.monotonic() - began:.1f} s with {done.returncode}")
    assert done.returncode == KILLED


def _run(work: str, call: str, when: str) -> None:
    owner = AIOKafkaProducer if hasattr(AIOKafkaProducer, call) else ExperimentStore
    worked, called = getattr(Optimizer, work), getattr(owner, call)
    at_work = False

    async def working(optimizer: Optimizer, first: Any, *others: Any) -> None:
        nonlocal at_work
        at_work = bool(first)
        await worked(optimizer, first, *others)

    async def dying(*args: Any, **rest: Any) -> Any:
        if at_work and when == "before":
            os._exit(KILLED)
        answer = await called(*args, **rest)
        if at_work:
            os._exit(KILLED)
        return answer

    setattr(Optimizer, work, working)
    setattr(owner, call, dying)
    run_optimizer(load_settings())


if __name__ == "__main__":
    _run(*sys.argv[1:])
