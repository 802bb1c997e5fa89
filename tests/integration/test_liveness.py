"""A worker with a dead fetch task.

Its liveness probe fails and it exits, so that a supervisor restarts it.
"""

import asyncio
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from harness import full_only
from patience import PATIENCE_S

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.local.prepare import prepare, settings_of

pytestmark = pytest.mark.stack

BROKEN = """
import os, sys
from aiokafka.consumer.fetcher import Fetcher

plan = Fetcher._get_actions_per_node

def broken(self, assignment):
    if os.path.exists(os.environ["BROKEN_BY"]):
        raise RuntimeError("broken by the test")
    return plan(self, assignment)

Fetcher._get_actions_per_node = broken
sys.argv = ["lpstream", "worker", "generation"]
from streams.__main__ import main
main()
"""


def health(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@full_only
def test_a_worker_with_a_dead_fetch_task_fails_its_probe_and_exits(stack: Stack, tmp_path: Path) -> None:
    asyncio.run(prepare(settings_of(stack)))
    port, flag = Ports(tmp_path).get("health"), tmp_path / "broken"
    env = stack.env() | {"LPSTREAM_WORKER_METRICS_PORT": str(port), "BROKEN_BY": str(flag)}
    worker = ChildProcess("broken", [sys.executable, "-c", BROKEN], log=tmp_path / "broken.log", env=env)
    worker.start()
    try:
        worker.wait_ready(lambda: health(port) == (200, "ok\n"), PATIENCE_S)
        flag.touch()
        answers, deadline = [], time.monotonic() + PATIENCE_S
        while worker.alive:
            assert time.monotonic() < deadline, worker.tail()
            answers.append(health(port))
            time.sleep(0.02)
        failed = [text for status, text in answers if status == 503]
        assert failed and ("fetch task has ended" in failed[0] or "has crashed" in failed[0]), answers
        assert worker.returncode not in (0, None)
        assert "fetch task has ended; start the worker again" in worker.log.read_text(encoding="utf-8")
    finally:
        worker.kill()
