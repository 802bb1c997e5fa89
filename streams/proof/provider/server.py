"""A simulated provider: OpenAI's chat completions API over HTTP, with timing, faults and a bill.

The provider's API is `POST /v1/chat/completions` (streaming only) and `GET /v1/models`. Three routes are for tests:
`PUT /script` sets how it behaves from now on, `GET /bill` returns the bill, `DELETE /bill` starts a new bill.
"""

import asyncio
import contextlib
import hashlib
import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

import msgspec
from aiohttp import web

from streams.proof.provider.answers import answer, schema_in
from streams.proof.provider.bill import Bill, Line, Prices, prompt_tokens, tokens_of
from streams.proof.provider.script import Manner, Script

# tokens due within this time are sent in one write, as behind a real provider's proxies
WRITE_EVERY_S = 0.03
FOREVER_S = 3_600
STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


class Provider:
    """The API's handlers. The seed and the order of calls decide everything random."""

    def __init__(self, prices: Prices, seed: int = 1) -> None:
        self.script = Script()
        self.bill = Bill(prices)
        self._prices = prices
        self._rng = random.Random(seed)
        self._numbers = itertools.count(1)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                return await self._complete(request)
            case "GET", "/v1/models":
                return _json({"object": "list", "data": []})
            case "PUT", "/script":
                self.script = msgspec.json.decode(await request.read(), type=Script)
                return _json({})
            case "GET", "/bill":
                return _json({**self.bill.sums(), "lines": self.bill.lines})
            case "DELETE", "/bill":
                self.bill = Bill(self._prices)
                return _json({})
        return _error(404, "not_found", "No such route")

    async def _complete(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.monotonic()
        body: dict[str, Any] = msgspec.json.decode(await request.read())
        manner = self.script.draw(self._rng)
        messages = body["messages"]
        call_id = request.headers.get("X-Client-Request-Id", "")
        digest = hashlib.sha256(msgspec.json.encode(messages)).hexdigest()[:16]
        line = Line(call_id, digest, str(body["model"]), manner.fault, prompt_tokens(messages))
        with self._billed(line):
            if manner.fault in ("http_429", "http_500"):
                line.billed = False
                return self._refuse(manner.fault)
            if not body.get("stream"):
                line.billed = False
                return _error(400, "invalid_request_error", "stream must be true: only streaming is simulated")
            if manner.fault == "hang_headers":
                await asyncio.sleep(FOREVER_S)
            text = answer(schema_in(messages, body.get("response_format")), self._rng)
            most_tokens = int(body.get("max_completion_tokens") or body.get("max_tokens") or 4_096)
            writer = _Stream(request, f"chatcmpl-{next(self._numbers)}", line, started)
            await writer.play(text, manner, most_tokens, self.script.drip_s)
            return writer.response

    @contextlib.contextmanager
    def _billed(self, line: Line) -> Iterator[None]:
        bill = self.bill
        bill.begin(line)
        try:
            yield
        finally:
            bill.end(line)

    def _refuse(self, fault: str) -> web.Response:
        if fault == "http_500":
            return _error(500, "server_error", "The server had an error")
        refusal = _error(429, "rate_limit_exceeded", "Rate limit reached")
        refusal.headers["Retry-After"] = f"{self.script.retry_after_s:g}"
        return refusal


class _Stream:
    """One answer, written token by token."""

    def __init__(self, request: web.BaseRequest, name: str, line: Line, started: float) -> None:
        self.response = web.StreamResponse(headers=STREAM)
        self._request = request
        self._name = name
        self._line = line
        self._started = started

    async def play(self, text: str, manner: Manner, most_tokens: int, drip_s: float) -> None:
        """Write the answer, or the part of it that the fault allows."""
        await self.response.prepare(self._request)
        fault = manner.fault
        if fault == "hang_first":
            await asyncio.sleep(FOREVER_S)
        tokens, finish = tokens_of(text), "stop"
        if fault == "wrong_schema":
            tokens = tokens_of('{"answer": "申し訳ありませんが、お答えできません。"}')
        elif fault in ("malformed", "length", "content_filter", "stall", "cut"):
            tokens = tokens[: max(1, len(tokens) // 2)]
            finish = fault if fault in ("length", "content_filter") else "stop"
        elif fault == "empty":
            tokens = []
        if len(tokens) > most_tokens:
            tokens, finish = tokens[:most_tokens], "length"
        step = (manner.total_s - manner.first_token_s) / max(1, len(tokens))
        await self._tokens(tokens, manner.first_token_s, drip_s if fault == "drip" else step)
        await self._end(finish, fault)

    async def _tokens(self, tokens: list[str], first_s: float, step_s: float) -> None:
        due, waiting = self._started + first_s, b""
        for token in tokens:
            if (wait := due - time.monotonic()) > 0:
                if waiting:
                    await self.response.write(waiting)
                    waiting = b""
                await asyncio.sleep(max(wait, WRITE_EVERY_S) if self._line.completion_tokens else wait)
            self._line.completion_tokens += 1
            waiting += self._event({"content": token}, None)
            due += step_s
        if waiting:
            await self.response.write(waiting)

    async def _end(self, finish: str, fault: str | None) -> None:
        if fault == "stall":
            await asyncio.sleep(FOREVER_S)
        if fault == "cut":
            if self._request.transport is not None:
                self._request.transport.abort()
            return
        if fault == "bad_stream":
            await self.response.write(b"data: {no json\n\n")
        usage = {"prompt_tokens": self._line.prompt_tokens, "completion_tokens": self._line.completion_tokens}
        last = self._event({}, finish) + self._event(None, None, usage) + b"data: [DONE]\n\n"
        await self.response.write(last)
        await self.response.write_eof()
        self._line.whole = fault != "bad_stream"

    def _event(self, delta: dict[str, str] | None, finish: str | None, usage: Any = None) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        chunk = {
            "id": self._name,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._line.model,
            "choices": choices,
            "usage": usage,
        }
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _error(status: int, code: str, message: str) -> web.Response:
    body = msgspec.json.encode({"error": {"message": message, "type": code, "code": code, "param": None}})
    return web.Response(status=status, body=body, content_type="application/json")


async def serve(provider: Provider, port: int) -> web.ServerRunner:
    """Listen on a loopback port until the runner is cleaned up.

    Port 0 means any free port; `runner.addresses` holds it.
    """
    runner = web.ServerRunner(web.Server(provider, access_log=None, handler_cancellation=True), shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4_096).start()
    return runner
