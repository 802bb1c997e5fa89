"""The HTTP client of applications against an edge that hangs, restarts or asks to wait."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from page_requests import least
from patience import SLACK_S

import streams.client
from schemas.errors import LpstreamError, Retryable
from schemas.generation import Progress, Result, encode_model
from streams.cli import request as command
from streams.client import HttpPages, over_http
from streams.proof import posting

ID = UUID(int=1)
DONE = Result(request_id=ID, tenant_id="t1", status="completed")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
CALLS: dict[str, Callable[[HttpPages], Awaitable[Any]]] = {
    "request": lambda pages: pages.request(least()),
    "upload": lambda pages: pages.upload(b"x"),
    "uploads": lambda pages: pages.uploads(),
    "delete_upload": lambda pages: pages.delete_upload("0" * 64),
}


@contextlib.asynccontextmanager
async def edge(handler: Handler) -> AsyncIterator[str]:
    """Yield the address of a server that answers each request by the handler."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def hang(_: web.BaseRequest) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.client, "ANSWER_S", 0.1)


@pytest.mark.parametrize("call", CALLS)
async def test_an_edge_that_does_not_answer_is_retryable(call: str, short: None) -> None:
    async with edge(hang) as url, over_http(url, "token") as pages:
        with pytest.raises(Retryable, match=f"{url}: TimeoutError"):
            await CALLS[call](pages)


async def test_a_result_is_awaited_for_all_of_its_time(short: None) -> None:
    async with edge(hang) as url, over_http(url, "token") as pages:
        started = time.monotonic()
        with pytest.raises(Retryable, match=r"within 0\.5 s"):
            await pages.result(ID, within_s=0.5)
        assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize("call", [*CALLS, "result"])
async def test_the_callers_own_timeout_stays_a_timeout(call: str) -> None:
    calls = {**CALLS, "result": lambda pages: pages.result(ID)}
    async with edge(hang) as url, over_http(url, "token") as pages:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await calls[call](pages)


async def test_a_page_that_does_not_arrive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    session = aiohttp.ClientSession
    brief = aiohttp.ClientTimeout(total=0.1)
    monkeypatch.setattr(aiohttp, "ClientSession", lambda **rest: session(**rest, timeout=brief))
    async with edge(hang) as url:
        with pytest.raises(LpstreamError, match=f"{url}/lp/a: TimeoutError"):
            await command._page(f"{url}/lp/a", {})


async def test_a_beacon_of_the_demo_is_posted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(posting, "TRIES", 2)
    timeout = aiohttp.ClientTimeout(total=0.1)
    async with edge(hang) as url, aiohttp.ClientSession(timeout=timeout) as session:
        assert not await posting.post(session, url, b"{}")


def step(percent: int) -> bytes:
    progress = Progress(request_id=ID, percent=percent, stage="copy", at_ms=1)
    return b"event: progress\ndata: " + encode_model(progress) + b"\n\n"


async def test_progress_that_ends_early_is_retryable() -> None:
    async def restart(_: web.BaseRequest) -> web.Response:
        return web.Response(body=step(40), content_type="text/event-stream")

    async with edge(restart) as url, over_http(url, "token") as pages:
        steps = pages.progress(ID)
        assert (await anext(steps)).percent == 40
        with pytest.raises(Retryable, match="40 %"):
            await anext(steps)


async def test_progress_ends_at_the_end() -> None:
    async def finish(_: web.BaseRequest) -> web.Response:
        return web.Response(body=step(40) + step(100), content_type="text/event-stream")

    async with edge(finish) as url, over_http(url, "token") as pages:
        assert [now.percent async for now in pages.progress(ID)] == [40, 100]


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}])
async def test_a_late_body_is_sent_again(headers: dict[str, str]) -> None:
    answers = [web.Response(status=408, headers=headers), web.Response(body=encode_model(DONE))]

    async def late(_: web.BaseRequest) -> web.Response:
        return answers.pop(0)

    async with edge(late) as url, over_http(url, "token") as pages:
        started = time.monotonic()
        assert await pages.result(ID) == DONE
        assert time.monotonic() - started < 1 + SLACK_S
