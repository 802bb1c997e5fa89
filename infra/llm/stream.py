"""A streaming call through the `openai` client, with every possible outcome.

The client builds the request and maps errors. The stream is read raw: 150 chunks cost 8 ms of CPU time, against 35 ms
with the client's own objects.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.request import getproxies

import aiohttp
import httpx2
import msgspec
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai._constants import RAW_RESPONSE_HEADER
from openai._vendor.httpx_aiohttp.transport import AiohttpTransport  # the transport of DefaultAioHttpClient

from infra.llm.dialect import Dialect
from infra.llm.endpoint import Endpoint
from infra.llm.events import BROKEN, CALL_FILTERED, FILTERED, TOO_LONG, Answer
from infra.llm.filling import filling_response
from infra.llm.refusals import COOL_S, Refusal, refusal_in_stream, refusal_of, retry_after, typed_in
from infra.llm.usage import Usage

# how the bill of a call is known: by the usage, nothing is billed, the prompt at most, or not at all
Billing = Literal["usage", "nothing", "prompt", "unknown"]
# the minimum time between moves of the timer: a move for each read costs as much as the read
HEAR_S, KEEP_ALIVE_S = 0.1, 30.0
# a model that goes on behind its limit is cut off
OVER = 16
# reasoning does not count against the limit everywhere: https://share.apidog.com/apidoc/docs-site/747793 (DeepSeek)
MOST_THOUGHTS = 8_000
# the time for the usage and the end of the stream after the end of the answer
END_S = 1.0
# the header with which the client leaves the body of a response unread
UNREAD = {RAW_RESPONSE_HEADER: "stream"}
MOST_CHARACTERS = 512 * 1024
# proxies send policies of more than aiohttp's default of 8 KB in a header
MOST_HEADER, MOST_HEADERS = 64 * 1024, 500


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of a call, s: until the first token, between tokens, in total.

    Between tokens, the call may also wait until only `keep_s` of the total are left.
    """

    first_token_s: float
    idle_s: float
    total_s: float
    keep_s: float = math.inf


@dataclass(slots=True)
class Reply:
    """The result of a call. `billing` says how its price is known; `retry_after_s` when to retry.

    `limit` is the token limit that was sent, and `tokens` bounds the tokens that were received. `usd` is the reported
    cost, also if the counts beside it are not plausible.
    """

    outcome: str = "ok"
    text: str = ""
    usage: Usage | None = None
    first_token_s: float | None = None
    total_s: float = 0.0
    retry_after_s: float | None = None
    billing: Billing = "unknown"
    refusal: Refusal | None = None
    limit: int = 0
    tokens: int = 0
    usd: float = 0.0


def open_client(
    endpoint: Endpoint, *, connections: int, cap_s: float, pause: Callable[[], float] = lambda: 0.0
) -> AsyncOpenAI:
    """Return a client without own retries, because it does not know the deadline.

    `pause` returns the seconds between two reads of a stream: fewer, larger reads cost less.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_S),
            response_class=filling_response(pause),
            max_line_size=MOST_HEADER,
            max_field_size=MOST_HEADER,
            max_headers=MOST_HEADERS,
            trust_env=bool(getproxies()),  # with trust_env aiohttp looks for a proxy in a thread, for each request
        )

    timeout = httpx2.Timeout(cap_s, read=None)  # `Call` has its own; aiohttp would move its timer for each read
    return AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.key,
        max_retries=0,
        timeout=timeout,
        default_headers={name: value.replace("{key}", endpoint.key) for name, value in endpoint.headers.items()},
        default_query=dict(endpoint.query),
        http_client=DefaultAioHttpClient(
            # to load certificates takes 90 ms, and an address without TLS needs none
            transport=AiohttpTransport(client=session, verify=endpoint.base_url.startswith("https:")),
            timeout=timeout,
        ),
    )


class Call:
    """A call. `run` raises only CancelledError."""

    def __init__(
        self,
        client: AsyncOpenAI,
        endpoint: Endpoint,
        dialect: Dialect,
        limits: Limits,
        on_first_token: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._dialect = dialect
        self._limits = limits
        self._on_first_token = on_first_token
        self._started = time.monotonic()
        self._answer = Answer()
        self._asked = 0
        self._over = False
        self._sent: Mapping[str, Any] = {}
        self._typed: list[str] = []
        self.reply = Reply()

    async def run(
        self,
        messages: Sequence[Mapping[str, str]],
        most_tokens: int,
        call_id: str,
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Send the request with the limit `most_tokens`, read the answer, and return the reply."""
        reply = self.reply
        reply.limit = most_tokens
        self._typed = typed_in(messages)
        self._asked = sum(len(message["content"].encode()) for message in messages)
        patience = asyncio.timeout(min(self._limits.first_token_s, self._limits.total_s))
        try:
            async with asyncio.timeout(self._limits.total_s) as whole, patience:
                await self._send(messages, most_tokens, call_id, schema, patience)
            self._conclude()
        except TimeoutError:
            self._conclude() if self._answer.whole else self._timed_out(whole.expired())
        except openai.APIStatusError as error:
            self._refused_with(error)
        except (openai.APIError, httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            if self._answer.whole:
                self._conclude()
            else:
                refused = _refused(error)
                reply.outcome, reply.billing = ("refused", "nothing") if refused else ("cut_off", "unknown")
        self._measure()
        return reply

    def called_off(self) -> Reply:
        """Return the reply of a cancelled call."""
        self.reply.outcome, self.reply.billing = "called_off", "unknown"
        self.reply.usage = None
        self._measure()
        return self.reply

    def _measure(self) -> None:
        self.reply.total_s = time.monotonic() - self._started
        self.reply.tokens = max(self._answer.pieces, self._answer.characters)

    def _timed_out(self, whole: bool) -> None:
        waiting = "first_token_timeout" if self.reply.first_token_s is None else "idle_timeout"
        self.reply.outcome = "total_timeout" if whole else waiting

    async def _send(
        self,
        messages: Sequence[Mapping[str, str]],
        most_tokens: int,
        call_id: str,
        schema: Mapping[str, Any] | None,
        patience: asyncio.Timeout,
    ) -> None:
        """Send the request; send it again while the dialect learns from refusals."""
        dialect = self._dialect
        while True:
            version, self._sent = len(dialect.learned), dialect.body(messages, most_tokens, schema)
            self.reply.limit = dialect.within(most_tokens)
            try:
                await self._read(self._sent, dialect.stream, most_tokens, call_id, patience)
            except openai.APIStatusError as error:
                refusal = self._refusal(error)
                if not dialect.learn(self._sent, version, refusal):
                    raise
            else:
                failed = self._answer.error
                if not failed or self._answer.pieces or not dialect.learn(self._sent, version, self._in_stream(failed)):
                    return
                self._answer = Answer()

    def _in_stream(self, error: Mapping[str, Any]) -> Refusal:
        return refusal_in_stream(error, self._endpoint.key, self._sent, self._typed)

    def _refusal(self, error: openai.APIStatusError) -> Refusal:
        return refusal_of(error.status_code, error.body, self._endpoint.key, self._sent, self._typed)

    async def _read(
        self, body: Mapping[str, Any], stream: bool, most_tokens: int, call_id: str, patience: asyncio.Timeout
    ) -> None:
        # `chat.completions.create` would walk through the body and through the types of its fields
        response = await self._client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=msgspec.json.encode({"model": self._endpoint.model, "stream": stream, **body}),
            options={"headers": {"X-Client-Request-Id": call_id, **UNREAD}},
        )
        loop, answer = asyncio.get_running_loop(), self._answer
        end = self._started + self._limits.total_s
        async with contextlib.aclosing(response):
            heard = 0.0
            async for data in response.aiter_bytes():
                progress = answer.feed(data)
                if answer.pieces and self.reply.first_token_s is None:
                    self.reply.first_token_s = time.monotonic() - self._started
                    self._on_first_token()
                self._over = answer.spoken > most_tokens + OVER or answer.pieces > most_tokens + MOST_THOUGHTS
                self._over = self._over or answer.characters > MOST_CHARACTERS
                if answer.error or self._over:
                    break
                if progress and ((now := loop.time()) > heard + HEAR_S or answer.ended):
                    heard = now
                    idle_s = max(self._limits.idle_s, end - time.monotonic() - self._limits.keep_s)
                    patience.reschedule(now + HEAR_S + (END_S if answer.ended else idle_s))
            else:
                answer.end()

    def _refused_with(self, error: openai.APIStatusError) -> None:
        reply, refusal = self.reply, self._refusal(error)
        reply.refusal = refusal
        reply.outcome = "refused_input" if refusal.about == "input" else f"http_{refusal.status}"
        reply.billing = "nothing" if not refusal.billed else "prompt" if refusal.about == "input" else "unknown"
        if refusal.about == "load":
            reply.retry_after_s = retry_after(error.response.headers)

    def _conclude(self) -> None:
        reply, answer = self.reply, self._answer
        if answer.error:
            self._failed_in_stream(answer.error)
            return
        if self._over:
            reply.outcome = "over_limit"
            return
        reply.text = answer.text
        usage = answer.usage
        reply.usd = usage.usd if usage is not None else 0.0
        if usage is not None and usage.plausible(
            asked=self._asked, answered=len(reply.text.encode()), pieces=answer.pieces
        ):
            reply.usage, reply.billing = usage, "usage"
        reply.outcome = _outcome(answer)

    def _failed_in_stream(self, error: Mapping[str, Any]) -> None:
        """Read an error that came as a part of the stream. The tokens before it may be billed."""
        refusal = self._in_stream(error)
        self.reply.refusal = refusal
        self.reply.outcome = "refused_input" if refusal.about == "input" else "stream_error"
        if refusal.about == "load":
            self.reply.retry_after_s = COOL_S
            self.reply.billing = "unknown" if self._answer.pieces else "nothing"


def _outcome(answer: Answer) -> str:
    if answer.ended_by(FILTERED):
        return "finish_content_filter"
    if answer.damaged:
        return "cut_off"
    if answer.ended_by(TOO_LONG | CALL_FILTERED) and not answer.complete:
        return "finish_length" if answer.ended_by(TOO_LONG) else "finish_call_filter"
    if answer.refusal.strip():
        return "refused_input"
    if not answer.chunks:
        return "unreadable"
    if not answer.text.strip():
        return "empty"
    return "ok" if answer.whole and not answer.ended_by(BROKEN) else "cut_off"


def _refused(error: BaseException | None) -> bool:
    """Return whether the connection never opened; the client's classes do not distinguish it from a loss."""
    while error is not None:
        if isinstance(error, aiohttp.ClientConnectorError):
            return True
        error = error.__cause__ or error.__context__
    return False
