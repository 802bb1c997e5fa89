"""The simulated applications. They request LPs at fixed times, even if earlier LPs are late.

They follow each LP to its result: half of them on a progress stream, the other half by polling.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from streams.generation.mix import Mix
from streams.proof.verify.driving import AGAIN_S, NOT_NOW, POLL_S, WITHIN_S, Driving

RESULT_POLL_S, ASK_WITHIN_S = 0.5, 90.0
V2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}


class Applications:
    """The applications of a driver. They share one HTTP session to the private listener."""

    def __init__(self, driving: Driving) -> None:
        self._driving = driving
        self._part = driving.part

    async def run(self) -> None:
        """Request LPs until the load stops, and wait for each result."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=WITHIN_S, sock_read=WITHIN_S)
        headers = {"Authorization": f"Bearer {self._part.token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as self._session,
            asyncio.TaskGroup() as group,
        ):
            async for number, request in self._requests():
                group.create_task(self._follow(request, by_stream=number % 2 == 0))

    async def _requests(self) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Yield each request at its scheduled time."""
        driving, part, number = self._driving, self._part, 0
        mix, rng = Mix.load(), random.Random(part.seed)
        while part.per_minute and not driving.stopping and (due := number * 60 / part.per_minute) < part.seconds:
            if (early := due - driving.since()) > 0:
                await asyncio.sleep(min(early, POLL_S))
                continue
            yield number, mix.draw(rng).request(number, part.run, part.tenant)
            number += 1

    async def _follow(self, request: dict[str, Any], *, by_stream: bool) -> None:
        driving, began = self._driving, time.monotonic()
        lp: dict[str, Any] = {"id": request["request_id"], "at": round(driving.since(), 1), "asked": False}
        driving.notes.lps.append(lp)
        driving.busy += 1
        try:
            lp["asked"] = await self._ask(request)
            result = await self._result(request["request_id"], by_stream) if lp["asked"] else None
            if result is not None:
                timings = result["timings_ms"]
                lp |= {
                    "wait_ms": round((time.monotonic() - began) * 1000), "status": result["status"],
                    "cache": result["cache"], "total_ms": timings["total"], "provider_ms": timings["provider"],
                    "cost": result["cost_micro_jpy"],
                }  # fmt: skip
        finally:
            driving.busy -= 1

    async def _ask(self, request: dict[str, Any]) -> bool:
        """Return whether Kafka has acknowledged the request."""
        body = json.dumps({"records": [{"value": request}]}).encode()
        until = time.monotonic() + ASK_WITHIN_S
        while time.monotonic() < until and self._driving.draining:
            status, answer = await self._call("ask", "POST", f"{self._part.api}/topics/lp.requests", body)
            self._driving.notes.sent["ask"] += len(body)
            if status == 200 and not json.loads(answer)["offsets"][0].get("error"):
                return True
            if status not in (200, *NOT_NOW):
                return False
            await asyncio.sleep(AGAIN_S)
        return False

    async def _result(self, request_id: str, by_stream: bool) -> dict[str, Any] | None:
        """Wait for the result and return it, or None if the time for open requests ends first."""
        url = f"{self._part.api}/lp/requests/{request_id}"
        while self._driving.draining:
            if by_stream:
                await self._stream(f"{url}/events")
            status, answer = await self._call("status", "GET", url)
            if status == 200:
                result: dict[str, Any] = json.loads(answer)
                return result
            await asyncio.sleep(RESULT_POLL_S)
        return None

    async def _call(self, kind: str, method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send a request and record it. Return status and body. Status 0 means no complete response."""
        began, status, answer, timed_out = time.perf_counter(), 0, b"", False
        try:
            async with self._session.request(method, url, data=body, headers=V2 if body else None) as opened:
                answer = await opened.read()
                status = opened.status
        except (aiohttp.ClientError, TimeoutError) as error:
            timed_out = isinstance(error, TimeoutError)
        self._driving.note(kind, (time.perf_counter() - began) * 1000, len(answer), status, timed_out=timed_out)
        return status, answer

    async def _stream(self, url: str) -> None:
        """Read a progress stream until it ends or breaks. Its response time is the time to its head."""
        began, status, size, ms, timed_out = time.perf_counter(), 0, 0, None, False
        try:
            async with self._session.get(url) as opened:
                ms = (time.perf_counter() - began) * 1000
                async for chunk in opened.content.iter_any():
                    size += len(chunk)
                status = opened.status
        except (aiohttp.ClientError, TimeoutError) as error:
            timed_out = isinstance(error, TimeoutError)
        if ms is None:
            ms = (time.perf_counter() - began) * 1000
        self._driving.note("progress", ms, size, status, timed_out=timed_out)
