"""Restarts: replacing an edge under load, and a worker that lost its consumer group."""

import asyncio
import sys
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest
from beacons import assert_counted, some_beacons
from harness import full_only
from patience import PATIENCE_S

from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.proof.visitors import tally

pytestmark = pytest.mark.stack
CLIENTS, PAUSE_S = 20, 0.05

DEAF = """
import aiokafka, sys

async def lookup(*_):
    raise AssertionError("Did we not perform bootstrap?")

aiokafka.AIOKafkaClient.coordinator_lookup = lookup
sys.argv = ["lpstream", "worker", "generation"]
from streams.__main__ import main
main()
"""


@full_only
async def test_replacing_the_edge_fails_no_request(stack: Stack, installation: Installation) -> None:
    old = installation.children["edge"].pid
    waiting, sent, over = some_beacons("replaced", 4_000), [], asyncio.Event()

    async def client() -> None:
        async with aiohttp.ClientSession() as session:
            while not over.is_set():
                beacon = waiting.pop()
                async with session.post(
                    f"{installation.edge_url}/e/heatmap.events", data=msgspec.json.encode(beacon)
                ) as answer:
                    assert answer.status == 204
                sent.append(beacon)
                await asyncio.sleep(PAUSE_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
        await asyncio.to_thread(installation.replace, "edge")
        before = len(sent)
        await asyncio.sleep(1)
        over.set()
    assert installation.children["edge"].pid != old and len(sent) > before > CLIENTS
    await assert_counted(stack, "replaced", tally(sent).total())


@pytest.mark.usefixtures("installation")  # it prepares the topics
def test_a_worker_that_lost_its_group_exits_with_a_reason(stack: Stack, tmp_path: Path) -> None:
    env = stack.env() | {"LPSTREAM_WORKER_METRICS_PORT": "0"}
    worker = ChildProcess("deaf", [sys.executable, "-c", DEAF], log=tmp_path / "deaf.log", env=env)
    worker.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while worker.alive:
            assert time.monotonic() < deadline, worker.tail()
            time.sleep(0.1)
        assert worker.returncode not in (0, None), worker.tail()
        assert "coordination task has ended" in worker.log.read_text(encoding="utf-8")
    finally:
        worker.kill()
