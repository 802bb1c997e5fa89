"""The processes of the load drivers of `lpstream verify`, with and without Locust."""

import asyncio
import resource
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from patience import PATIENCE_S

from schemas.heatmap import KIND_BY_LETTER, decode_beacon
from streams.proof.verify.fleet import Fleet, Part

# find_spec does not import locust: gevent would patch the sockets of all tests
WITH_LOCUST = pytest.mark.skipif(find_spec("locust") is None, reason="the extra `verify` is not installed")


@pytest.mark.parametrize("by_locust", [False, pytest.param(True, marks=WITH_LOCUST)])
async def test_both_drivers_note_the_events_that_the_server_counts(by_locust: bool, tmp_path: Path) -> None:
    counted: Counter[str] = Counter()
    ids: set[bytes] = set()
    pages = 0

    async def page(_: web.Request) -> web.Response:
        nonlocal pages
        pages += 1
        return web.Response(text="a page")

    async def post(request: web.Request) -> web.Response:
        beacon = decode_beacon(await request.read())
        ids.add(beacon.pageview_id)
        if len(ids) % 3 == 0 and beacon.pageview_id not in refused:
            refused.add(beacon.pageview_id)
            return web.Response(status=503)
        counted.update(KIND_BY_LETTER[letter].value for letter in beacon.type)
        return web.Response(status=204)

    refused: set[bytes] = set()
    application = web.Application()
    application.router.add_get("/lp/demo-1", page)
    application.router.add_post("/e/heatmap.events", post)
    async with TestServer(application) as server:
        url = str(server.make_url("")).rstrip("/")
        part = Part(url, url, "t", "demo", ["demo-1"], 20, 0.5, 4, 0, 0, 7, 9, "", 5, by_locust)
        fleet = Fleet(part, tmp_path / "drivers")
        fleet.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not fleet.ready():
                    await asyncio.sleep(0.1)
                assert fleet.now()["users"] == 20
                fleet.go()
                while not fleet.done:
                    await asyncio.sleep(0.1)
            seen = fleet.collect()
        finally:
            await asyncio.to_thread(fleet.end)
    assert seen.acknowledged["demo-1"] == counted and not +seen.unresolved["demo-1"]
    assert pages >= len(ids) > 10 and refused
    # answers of the ramp are not noted
    assert set(seen.errors["beacon"]) == {"server"} and 0 < seen.errors["beacon"]["server"] <= len(refused)
    assert seen.seconds == pytest.approx(4, abs=0.5) and 0 < seen.cpu_s < 4 and seen.lps == []


PROGRAM = """
import os, socket
from streams.proof.verify import locust_driver

held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1_100)]
ours, theirs = socket.socketpair()
assert ours.fileno() > 1_023
pool = locust_driver.ConnectionPool("127.0.0.1", 1, "127.0.0.1", 1)
alive = [pool._is_socket_alive(None), pool._is_socket_alive(ours)]
theirs.close()
alive.append(pool._is_socket_alive(ours))
ours.close()
print(alive, pool._is_socket_alive(ours))
"""


@WITH_LOCUST
def test_locust_keeps_connections_above_1024_descriptors() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1_200:
        pytest.skip("fewer than 1,200 files may be open here")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.stdout.strip() == "[False, True, False] False", done.stderr
