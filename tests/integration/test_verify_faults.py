"""Faults of `lpstream verify` with several processes of the killed service."""

import asyncio
import time
from pathlib import Path

import pytest
from harness import full_only
from patience import PATIENCE_S
from raw_http import ask, request

from infra.embedded.stack import Stack
from streams.local.prepare import prepare, settings_of
from streams.proof.edge_process import edge_process
from streams.proof.verify.faults import Fault, inject
from streams.proof.verify.place import Place
from streams.proof.verify.resources import listening, port_of

pytestmark = pytest.mark.stack


def exists(pid: int) -> bool:
    """Return whether the process still exists; its sockets are closed only when its parent has reaped it."""
    return Path(f"/proc/{pid}").exists()


async def both(port: int) -> set[int]:
    """Wait until two processes listen on the port; return them."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await asyncio.to_thread(listening, port)
            if len(found) == 2:
                return found
            await asyncio.sleep(0.05)


@full_only
async def test_killing_one_of_two_edge_processes_refuses_no_request(stack: Stack) -> None:
    await prepare(settings_of(stack))
    with edge_process(stack, "two", {"LPSTREAM_EDGE_PROCESSES": "2"}) as edge:
        port = port_of(edge.url)
        before = await both(port)
        settings = settings_of(stack).model_copy(update={"public_url": edge.url, "edge_processes": 2})
        fault = Fault(0, "edge")
        healing = asyncio.create_task(inject(Place(settings, "demo", ""), fault, time.monotonic()))
        async with asyncio.timeout(PATIENCE_S):
            while exists(min(before)):
                await asyncio.sleep(0.02)
        while not healing.done():
            assert (await ask(edge.url, request(b"", path="/healthz", method="GET"))).status == 200
            await asyncio.sleep(0.05)
        await healing
        after = await both(port)
    assert len(before) == len(after) == 2 and len(before & after) == 1
    assert fault.text == "one of 2 edge processes: SIGKILL, started again"
