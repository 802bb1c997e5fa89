"""`lpstream rebuild` from offset 0 under traffic and kills: no loss and no duplicates."""

import asyncio
import json
import subprocess
import sys

import pytest
from command import lpstream
from harness import Traffic, full_only, kill_and_launch, scaled

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = [full_only, pytest.mark.stack]


async def test_events_are_counted_once_after_rebuilds_under_traffic(
    traffic: Traffic, stack: Stack, installation: Installation
) -> None:
    async with traffic.flowing() as rng:
        await asyncio.sleep(5)
        for round_ in range(int(scaled(2, 5))):
            running = asyncio.create_task(
                asyncio.to_thread(lpstream, "rebuild", "--json", data=stack.data, within_s=600)
            )
            if round_ % 2:
                await asyncio.sleep(rng.uniform(1, 4))
                await kill_and_launch(installation, "heatmap")
                traffic.faults["SIGKILL of the worker during a rebuild"] += 1
            done = await running
            assert done.returncode == 0, done.stderr
            traffic.faults["rebuild"] += 1
            print(f"{traffic.lp_id}: rebuilt {json.loads(done.stdout)}")
            await asyncio.sleep(rng.uniform(1, 3))
    await traffic.assert_exact()


async def test_a_killed_rebuild_can_run_again(traffic: Traffic, stack: Stack) -> None:
    async with traffic.flowing() as rng:
        await asyncio.sleep(5)
        for _ in range(int(scaled(2, 6))):
            with _start_rebuild(stack) as running:
                if rng.random() < 0.5:
                    await asyncio.to_thread(_wait_for_line, running, "tables exchanged")
                    await asyncio.sleep(rng.uniform(0, 2))
                else:
                    await asyncio.sleep(rng.uniform(2, 8))
                running.kill()
            traffic.faults["SIGKILL of a rebuild"] += 1
        done = await asyncio.to_thread(lpstream, "rebuild", "--json", data=stack.data, within_s=600)
        assert done.returncode == 0, done.stderr
    await traffic.assert_exact()


def _start_rebuild(stack: Stack) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streams", "rebuild", "--data", str(stack.data)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _wait_for_line(running: subprocess.Popen[str], text: str) -> None:
    assert running.stderr is not None
    while line := running.stderr.readline():
        if text in line:
            return
