"""A simulated provider: OpenAI's chat completions API over HTTP, with timing, profiles and a bill.

The provider's API is `POST /v1/chat/completions` and `GET /v1/models`. Three routes are for tests:
`PUT /script` sets how it behaves from now on, `GET /bill` returns the bill, `DELETE /bill` starts a new bill.
"""

import asyncio
import contextlib
import hashlib
import itertools
import random
import re
import time
from collections import Counter, deque
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from streams.proof.provider.answer_stream import FOREVER_S, AnswerStream
from streams.proof.provider.answers import DRAFT_WORDS, answer, schema_in
from streams.proof.provider.bill import Bill, Line, Prices, prompt_tokens
from streams.proof.provider.profiles import Profile, profile_of
from streams.proof.provider.script import Script
from streams.proof.provider.texts import written

MOST_TEXTS = 1_000


class Provider:
    """The API's handlers. The seed and the order of calls decide everything random."""

    def __init__(self, prices: Prices, seed: int = 1) -> None:
        self.script = Script()
        self.bill = Bill(prices)
        self._prices = prices
        self._rng = random.Random(seed)
        self._numbers = itertools.count(1)
        self._refused: Counter[str] = Counter()
        # the latest texts as the models wrote them, before the profiles changed their form
        self.texts: deque[str] = deque(maxlen=MOST_TEXTS)

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
        body: dict[str, Any] = msgspec.json.decode(await request.read())
        manner = self.script.draw(self._rng)
        name, profile = manner.profile or "plain", profile_of(manner.profile or "plain")
        messages = body["messages"]
        call_id = request.headers.get("X-Client-Request-Id", "")
        digest = hashlib.sha256(msgspec.json.encode(messages)).hexdigest()[:16]
        line = Line(call_id, digest, str(body["model"]), manner.profile, prompt_tokens(messages), usd=profile.usd)
        with self._billed(line):
            if (refusal := self._refusal(name, profile, body)) is not None:
                line.billed = profile.bills_prompt
                return refusal
            if profile.fault == "hang_headers":
                await asyncio.sleep(FOREVER_S)
            if self.script.tokens_a_chunk > profile.tokens_a_chunk:
                profile = msgspec.structs.replace(profile, tokens_a_chunk=self.script.tokens_a_chunk)
            if not body.get("stream"):
                profile = msgspec.structs.replace(profile, frame="document")
            schema = schema_in(messages, body.get("response_format"))
            text, draft = answer(schema, self._rng), answer(schema, self._rng, DRAFT_WORDS)
            self.texts.append(text)
            most_tokens = int(body.get("max_completion_tokens") or body.get("max_tokens") or 4_096)
            stream = AnswerStream(request, f"chatcmpl-{next(self._numbers)}", profile, manner, line)
            with contextlib.suppress(ConnectionResetError):  # the client has left, or the profile cut the connection
                await stream.play(*written(profile, text, draft), most_tokens, self.script.drip_s)
            return stream.response

    def _refusal(self, name: str, profile: Profile, body: dict[str, Any]) -> web.Response | None:
        """Return the error if the profile refuses a field of the request, or refuses every request."""
        for field, words in profile.refuses.items():
            field_name, sign, value = re.match(r"(\w+)([:>]?)(.*)", field).groups()  # type: ignore[union-attr]
            if field_name in body and (
                body[field_name] > int(value) if sign == ">" else value in str(body[field_name])
            ):
                return web.Response(status=profile.refusal_status, text=words, content_type="application/json")
        if profile.status == HTTPStatus.OK and not profile.body:
            return None
        self._refused[name] += 1
        if profile.times is not None and self._refused[name] > profile.times:
            return None
        headers = {"Content-Type": "application/json", **profile.headers}
        filled = {each: self._filled(value) for each, value in headers.items()}
        return web.Response(status=profile.status, body=profile.body.encode(), headers=filled)

    def _filled(self, value: str) -> str:
        """Return a header's value with its time: seconds of the script, or a date relative to now."""
        if (date := re.fullmatch(r"\{date([+-]\d+)\}", value)) is not None:
            return formatdate(time.time() + int(date[1]), usegmt=True)
        return value.replace("{retry_after}", f"{self.script.retry_after_s:g}")

    @contextlib.contextmanager
    def _billed(self, line: Line) -> Iterator[None]:
        bill = self.bill
        bill.begin(line)
        try:
            yield
        finally:
            bill.end(line)


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
