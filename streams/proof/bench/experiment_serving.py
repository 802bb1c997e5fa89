"""`lpstream bench --only experiment_serving`: a page with an experiment and without, in turns.

One connection asks for both pages by turns. Every second visit to the experiment is by a visitor who returns.
"""

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

import aiohttp

from infra.embedded.stack import Stack
from schemas.errors import LpstreamError
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.proof.bench.frame import Row, Say, own_services, quiet, row
from streams.proof.percentiles import spread
from streams.runtime.stores import open_objects

WARM_UP, VISITS, BYTES = 500, 5_000, 40_000
WITHIN_S = 60.0
AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile Safari/604.1"


def serving(*, rounds: int, say: Say = quiet) -> list[Row]:
    """Return the rows `experiment_serving_p50` and `_p99`: ms of a page with an experiment, and without."""
    with own_services(say) as (stack, services):
        with_one, without = asyncio.run(_measure(stack, services, rounds))
    detail = {"visits": len(with_one), "page_bytes": BYTES}
    mine, plain = spread(with_one), spread(without)
    reference = "the same page without an experiment; target: ratio of at most 1.1"
    return [
        row(f"experiment_serving_{name}", reference, mine[name], "ms", plain[name], detail, digits=4)
        for name in ("p50", "p99")
    ]


async def _measure(stack: Stack, services: Installation, rounds: int) -> tuple[list[float], list[float]]:
    plain, *arms = (f"demo-{uuid4().hex[:16]}" for _ in range(4))
    objects = open_objects(settings_of(stack))
    for lp_id in (plain, *arms):
        head = f"<html><head><title>{lp_id}</title><script src=/t.js data-lp-id={lp_id}></script></head><body>"
        await objects.put(f"pages/{lp_id}/index.html", head.encode().ljust(BYTES, b"."), "text/html", "no-store")
    async with aiohttp.ClientSession(headers={"User-Agent": AGENT}, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await _start(session, services, arms)
        times: tuple[list[float], list[float]] = ([], [])
        await _turns(session, services.edge_url, (arms[0], plain), arms, WARM_UP, ([], []))
        for _ in range(rounds):
            await _turns(session, services.edge_url, (arms[0], plain), arms, VISITS, times)
        return times


async def _start(session: aiohttp.ClientSession, services: Installation, arms: Sequence[str]) -> None:
    """Start the experiment, and wait until the edge serves it."""
    headers = {"Authorization": f"Bearer {services.token}"}
    body = {"lp_id": arms[0], "arms": arms}
    async with session.post(f"{services.api_url}/experiments", json=body, headers=headers) as answer:
        if answer.status != 202:
            raise LpstreamError(f"the experiment was not started: {await answer.text()}")
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        async with session.get(f"{services.edge_url}/lp/{arms[0]}") as answer:
            if "no-store" in answer.headers["Cache-Control"]:
                return
        await asyncio.sleep(0.2)
    raise LpstreamError(f"the edge does not serve the experiment after {WITHIN_S:g} s")


async def _turns(
    session: aiohttp.ClientSession,
    edge_url: str,
    pages: Sequence[str],
    arms: Sequence[str],
    visits: int,
    times: Sequence[list[float]],
) -> None:
    for turn in range(visits):
        headers = {"Cookie": f"lpa={arms[turn % len(arms)]}"} if turn % 2 else {}
        # the first of a pair changes, so that neither page always follows the other
        for place in (0, 1) if turn % 4 < 2 else (1, 0):
            started = time.perf_counter()
            async with session.get(f"{edge_url}/lp/{pages[place]}", headers=headers) as answer:
                await answer.read()
            times[place].append((time.perf_counter() - started) * 1000)
