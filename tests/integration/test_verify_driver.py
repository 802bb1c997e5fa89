"""The load drivers of `lpstream verify`, against servers with scripted responses."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from patience import PATIENCE_S

from schemas.heatmap import decode_beacon
from streams.proof.verify import driver
from streams.proof.verify.applications import Applications
from streams.proof.verify.driver import Visitor
from streams.proof.verify.driving import AGAIN_S, Driving
from streams.proof.verify.fleet import Part
from streams.proof.verify.visits import EVERY_MS, Request, Step

PAGE, BEACON = Request("page", "/lp/demo-1"), Request("beacon", "/e/heatmap.events", b"{}")
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LATE_S = 0.3

Action = bytes | float
"""Bytes to send or seconds to wait; no bytes close the connection."""


class Scripted:
    """A server that answers each request with the next entry of its script.

    `connections` holds the requests of each connection.
    """

    def __init__(self, answers: list[list[Action]]) -> None:
        self.answers = answers
        self.connections: list[list[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        requests: list[bytes] = []
        self.connections.append(requests)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                requests.append(head + await reader.readexactly(length))
                for action in self.answers.pop(0):
                    if isinstance(action, float):
                        await asyncio.sleep(action)
                    elif action:
                        writer.write(action)
                    else:
                        writer.close()
        except asyncio.IncompleteReadError:
            writer.close()


@asynccontextmanager
async def scripted(*answers: list[Action]) -> AsyncIterator[tuple[Driving, Scripted]]:
    """Yield a driver's state and a server with this script."""
    script = Scripted(list(answers))
    server = await asyncio.start_server(script.serve, "127.0.0.1")
    try:
        yield driving_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), script
    finally:
        server.close()


async def statuses(driving: Driving, *steps: Step) -> list[int]:
    """Run the steps as one visitor. Return the statuses of its requests."""
    answered: list[int] = []
    done = asyncio.Event()

    def visit() -> Generator[Step, int | None, None]:
        for step in steps:
            status = yield step
            answered.extend([] if status is None else [status])
        done.set()

    Visitor(driving, visit()).go_on()
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()
    return answered


def driving_of(url: str, connections: int = 1, per_minute: float = 0, seconds: float = 30) -> Driving:
    """Return the state of a driver right after its start."""
    part = Part(url, url, "t", "demo", ["demo-1"], connections, 0, seconds, per_minute, 0, 7, 9, "", 5, False)
    driving = Driving(part, lambda: None)
    driving.began = time.time()
    return driving


# -- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status", "received", "errors"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 0.02, b"cde"], 200, 5, {}),
        ([b"HTTP/1.1 200 OK\r\nConte", 0.02, b"nt-Length:5\r\n\r", 0.02, b"\nabcde"], 200, 5, {}),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], 200, 0, {}),
        ([CHUNKED + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n"], 200, 5, {}),
        ([CHUNKED, 0.02, b"1", 0.02, b"0\r\n0123456789abcde", 0.02, b"f\r", 0.02, b"\n0\r\nA: b\r\n", 0.02, b"\r\n"],
         200, 16, {}),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: </t.js>\r\n\r\n" b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"],
         200, 2, {}),
        ([b"HTTP/1.1 200 OK\r\n\r\nabc", 0.02, b"de", b""], 200, 5, {}),
        ([b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"], 503, 2, {"server": 1}),
        ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"], 404, 2, {"refused": 1}),
        ([b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"], 302, 0, {"server": 1}),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b""], 0, 0, {"connection": 1}),
        ([CHUNKED + b"5\r\nab", b""], 0, 0, {"connection": 1}),
        ([CHUNKED + b"-5\r\nab", b""], 0, 0, {"connection": 1}),
        ([b""], 0, 0, {"connection": 1}),
        ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"], 0, 0, {"connection": 1}),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 3 * LATE_S, b"cde"], 0, 0, {"timeout": 1}),
    ],
)  # fmt: skip
async def test_each_answer_is_read_whole_and_noted_by_its_cause(
    answer: list[Action], status: int, received: int, errors: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "WITHIN_S", LATE_S)
    async with scripted(answer) as (driving, _):
        assert await statuses(driving, PAGE) == [status]
        notes = driving.notes
    assert notes.received["page"] == received
    assert notes.errors["page"] == errors and len(notes.error_at) == sum(errors.values())
    assert len(notes.ms["page"]) == len(notes.at["page"]) == 1
    if "timeout" in errors:
        assert notes.ms["page"][0] >= 900 * LATE_S


async def test_requests_share_a_connection() -> None:
    page: list[Action] = [CHUNKED + b"2\r\nab\r\n0\r\n\r\n"]
    async with scripted(page, [NO_CONTENT], [NO_CONTENT], page) as (driving, server):
        assert await statuses(driving, PAGE, 0.01, BEACON, BEACON, PAGE) == [200, 204, 204, 200]
    (requests,) = server.connections
    assert [request.split(b" HTTP/1.1\r\n")[0] for request in requests] == [
        b"GET /lp/demo-1", b"POST /e/heatmap.events", b"POST /e/heatmap.events", b"GET /lp/demo-1",
    ]  # fmt: skip
    assert b"\r\nHost: 127.0.0.1:" in requests[0] and requests[1].endswith(b"\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    "last",
    [
        [b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", b""],
        [b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n"],
        [b"HTTP/1.0 204 No Content\r\n\r\n"],
        [NO_CONTENT, b""],
    ],
)
async def test_after_a_closed_connection_the_next_request_opens_another(last: list[Action]) -> None:
    async with scripted(last, [NO_CONTENT]) as (driving, server):
        assert await statuses(driving, BEACON, 0.05, BEACON) == [204, 204]
        assert driving.notes.errors == {}
    assert list(map(len, server.connections)) == [1, 1]


async def test_a_late_answer_is_not_taken_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "WITHIN_S", LATE_S)
    late: list[Action] = [1.5 * LATE_S, b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n"]
    async with scripted(late, [LATE_S / 2, NO_CONTENT]) as (driving, server):
        assert await statuses(driving, BEACON, BEACON) == [0, 204]
        assert driving.notes.errors["beacon"] == {"timeout": 1}
    assert list(map(len, server.connections)) == [1, 1]


async def test_a_refusal_before_the_request_is_an_answer() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Full\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1") as server:
        driving = driving_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await statuses(driving, BEACON) == [503]
    assert await statuses(driving, BEACON) == [0], "nothing listens any more"
    assert driving.notes.errors["beacon"] == {"server": 1, "connection": 1}


@pytest.mark.parametrize(("answer", "cause"), [([b"HTTP/1.1 400 No TLS\r\n\r\n", b""], "connection"), ([], "timeout")])
async def test_a_failed_tls_handshake_is_an_error(
    answer: list[bytes], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "WITHIN_S", LATE_S)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for part in answer:
            writer.write(part) if part else writer.close()
        await reader.read()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        driving = driving_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await statuses(driving, BEACON, BEACON) == [0, 0]
    assert driving.notes.errors["beacon"] == {cause: 2}


# -- visits ------------------------------------------------------------------------------------------------


def next_step(steps: Any, status: int | None = None) -> Step:
    """Return the visitor's next step after a response with this status."""
    step: Step = steps.send(status)
    return step


async def test_a_visitor_fetches_a_page_and_posts_until_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("streams.proof.verify.driving.time.monotonic", lambda: now)
    driving = driving_of("http://127.0.0.1:1")
    steps = driving.visits()
    assert next_step(steps) == PAGE
    assert next_step(steps, 503) == EVERY_MS / 1000, "no page: the next visitor comes later"
    assert next_step(steps) == PAGE
    wait = next_step(steps, 200)
    assert isinstance(wait, float) and 0 <= wait <= EVERY_MS / 1000
    now += wait
    first = step = next_step(steps)
    assert isinstance(first, Request) and driving.busy == 1
    began, attempts = now, list[int]()
    while len(attempts) < 5 or not isinstance(step, Request):
        if isinstance(step, Request):
            assert step == first, "a retry has the same bytes, so that it is not counted twice"
            attempts.append(round(now - began))
            step = next_step(steps, 503)
        else:
            now += step
            step = next_step(steps)
    assert attempts == [0, 5, 10, 15, 25], "the pause after a failure doubles: 1, 2, 4, 8 s"
    assert step == first and driving.busy == 1
    bodies = [first.body]
    while isinstance(step := next_step(steps, 204), Request):
        bodies.append(step.body)
    seqs = [decode_beacon(body).seq for body in bodies]
    assert seqs == sorted(set(seqs)) and len(seqs) >= 6, "all that wait, the oldest first"
    assert driving.busy == 0 and not +driving.notes.unresolved["demo-1"]
    acknowledged = sum((Counter(decode_beacon(body).type) for body in bodies), Counter())
    assert driving.notes.acknowledged["demo-1"] == acknowledged
    assert driving.notes.sent["beacon"] == sum(map(len, bodies)) + 5 * len(first.body)
    assert isinstance(next_step(steps), Request)
    assert isinstance(next_step(steps, 403), float), "a refused beacon is not posted again"
    driving.stopping = True
    with pytest.raises(StopIteration):
        next_step(steps)
    assert driving.busy == 0 and driving.notes.acknowledged["demo-1"] == acknowledged


async def test_the_load_ends_after_the_kept_beacons() -> None:
    driving = driving_of("http://127.0.0.1:1")
    steps = driving.visits()
    assert [next_step(steps), isinstance(next_step(steps, 200), float)] == [PAGE, True]
    beacon = next_step(steps)
    assert isinstance(beacon, Request) and isinstance(next_step(steps, 503), float)
    driving.stopping = True
    assert [next_step(steps), next_step(steps)] == [AGAIN_S, beacon], "the visitor's next page posts it"
    assert [next_step(steps, 503), next_step(steps), driving.busy] == [2 * AGAIN_S, beacon, 1]
    with pytest.raises(StopIteration):
        next_step(steps, 204)
    assert driving.busy == 0


async def test_a_beacon_without_an_answer_stays_unresolved() -> None:
    driving = driving_of("http://127.0.0.1:1", seconds=-4.8)  # the drain ends after 0.2 s
    steps = driving.visits()
    assert [next_step(steps), isinstance(next_step(steps, 200), float)] == [PAGE, True]
    beacon = next_step(steps)
    await asyncio.sleep(0.25)
    assert isinstance(beacon, Request) and isinstance(next_step(steps, 0), float)
    driving.stopping = True
    with pytest.raises(StopIteration):
        next_step(steps)
    assert driving.busy == 0, "the drain is over"
    assert driving.notes.unresolved["demo-1"] == Counter(decode_beacon(beacon.body).type)


# -- applications ------------------------------------------------------------------------------------------


async def test_applications_follow_half_of_the_pages_by_stream() -> None:
    asked: list[str] = []
    seen: Counter[str] = Counter()

    async def ask(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer t"
        asked.append((await request.json())["records"][0]["value"]["request_id"])
        seen["ask"] += 1
        if seen["ask"] == 1:
            return web.json_response({"offsets": [{"error": "away"}]})
        return web.json_response({"offsets": [{"offset": 1}]})

    async def status(request: web.Request) -> web.Response:
        seen[request.match_info["id"]] += 1
        if seen[request.match_info["id"]] == 1:
            return web.Response(status=404)
        timings = {"total": 700, "provider": 600}
        return web.json_response({"status": "completed", "cache": "l1", "timings_ms": timings, "cost_micro_jpy": 5})

    async def events(request: web.Request) -> web.StreamResponse:
        seen["events"] += 1
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(b"data: {}\n\n")
        return stream

    application = web.Application()
    application.router.add_post("/topics/lp.requests", ask)
    application.router.add_get("/lp/requests/{id}", status)
    application.router.add_get("/lp/requests/{id}/events", events)
    async with TestServer(application) as server:
        driving = driving_of(str(server.make_url("")).rstrip("/"), connections=0, per_minute=600, seconds=0.35)
        async with asyncio.timeout(PATIENCE_S):
            await Applications(driving).run()
    notes = driving.notes
    assert len(notes.lps) == len(set(asked)) == 4 and len(asked) == 5, "the first request was asked again"
    assert all(lp["asked"] and lp["status"] == "completed" and lp["total_ms"] == 700 for lp in notes.lps)
    assert seen["events"] == len(notes.ms["progress"]) == 4, "two requests on two streams each"
    assert notes.errors == {} and len(notes.ms["status"]) == 8 and len(notes.ms["ask"]) == 5
    assert notes.received["progress"] == 40 and driving.busy == 0


# -- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [[], [0.01], [PAGE], [BEACON, BEACON]])
async def test_an_error_in_a_visitor_ends_the_driver(
    steps: list[Step], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Driving) -> Generator[Step, int | None, None]:
        for step in steps:
            _ = yield step
        raise ZeroDivisionError

    monkeypatch.setattr(Driving, "visits", broken)
    async with scripted([NO_CONTENT], [NO_CONTENT]) as (driving, _):
        # nothing listens for the page
        edge = "http://127.0.0.1:1" if PAGE in steps else driving.part.edge
        try:
            with pytest.raises(ZeroDivisionError):
                async with asyncio.timeout(PATIENCE_S):
                    await driver.run(replace(driving.part, edge=edge, folder=str(tmp_path), ramp_s=0.1))
        finally:
            gc.unfreeze()
