"""One streaming call through the `openai` client, and every way in which it can end.

The client builds the request and maps its errors; the stream is read raw: for 150 chunks the client's own objects cost
35 ms of processor time, this 8.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.request import getproxies

import aiohttp
import httpx2
import msgspec
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai._vendor.httpx_aiohttp.transport import AiohttpTransport  # the one that DefaultAioHttpClient uses

from infra.llm.endpoint import Endpoint
from infra.llm.filling import filling_response

Billing = Literal["usage", "nothing", "unknown"]
MOST_TEXT = 64 * 1024
COOL_S, LONGEST_COOL_S = 1.0, 3_600.0
# a timer is moved that often at most: moving it for each of a hundred reads costs as much as reading
HEAR_S, KEEP_ALIVE_S = 0.1, 30.0


class Usage(msgspec.Struct):
    """Tokens as the provider counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Usage | None = None
    error: msgspec.Raw | None = None


_chunks = msgspec.json.Decoder(_Chunk)


@dataclass(frozen=True, slots=True)
class Limits:
    """Patience with one call, s: until its first token, between tokens, in all."""

    first_token_s: float
    idle_s: float
    total_s: float


@dataclass(slots=True)
class Reply:
    """What came of a call. `billing` says what is known of its price; `retry_after_s` when to come again."""

    outcome: str = "ok"
    text: str = ""
    usage: Usage | None = None
    first_token_s: float | None = None
    total_s: float = 0.0
    retry_after_s: float | None = None
    billing: Billing = "unknown"


def open_client(
    endpoint: Endpoint, *, connections: int, cap_s: float, pause: Callable[[], float] = lambda: 0.0
) -> AsyncOpenAI:
    """A client that retries nothing by itself: it would not know the deadline.

    `pause` says how long to let a stream fill between two reads, s: fewer, larger reads cost less.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_S),
            response_class=filling_response(pause),
            trust_env=bool(getproxies()),  # aiohttp looks for a proxy in a thread, for each request
        )

    return AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.key,
        max_retries=0,
        timeout=cap_s,
        http_client=DefaultAioHttpClient(transport=AiohttpTransport(client=session), timeout=cap_s),
    )


class Call:
    """One call. `run` never raises but when it is cancelled."""

    def __init__(
        self,
        client: AsyncOpenAI,
        endpoint: Endpoint,
        limits: Limits,
        on_first_token: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._limits = limits
        self._on_first_token = on_first_token
        self._started = time.monotonic()
        self._parts: list[str] = []
        self._finish: str | None = None
        self.reply = Reply()

    async def run(self, messages: Sequence[Mapping[str, str]], most_tokens: int, call_id: str) -> Reply:
        """Ask, read to the end, and say how it went."""
        reply = self.reply
        patience = asyncio.timeout(min(self._limits.first_token_s, self._limits.total_s))
        try:
            async with asyncio.timeout(self._limits.total_s) as whole, patience:
                await self._read(messages, most_tokens, call_id, patience)
            self._conclude()
        except TimeoutError:
            reply.outcome = self._which_timeout(whole.expired())
        except openai.APIStatusError as error:
            reply.outcome, reply.billing = f"http_{error.status_code}", "nothing"
            if error.status_code in (429, 503):
                reply.retry_after_s = _retry_after(error.response.headers)
        except (openai.APIError, httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            refused = _refused(error)
            reply.outcome, reply.billing = ("refused", "nothing") if refused else ("cut_off", "unknown")
        except msgspec.DecodeError:
            reply.outcome = "bad_stream"
        reply.total_s = time.monotonic() - self._started
        return reply

    def called_off(self) -> Reply:
        """The reply of a call that was cancelled."""
        self.reply.outcome, self.reply.billing = "called_off", "unknown"
        self.reply.usage = None
        self.reply.total_s = time.monotonic() - self._started
        return self.reply

    def _which_timeout(self, whole: bool) -> str:
        if whole:
            return "total_timeout"
        return "first_token_timeout" if self.reply.first_token_s is None else "idle_timeout"

    async def _read(
        self, messages: Sequence[Mapping[str, str]], most_tokens: int, call_id: str, patience: asyncio.Timeout
    ) -> None:
        endpoint = self._endpoint
        body: dict[str, Any] = {"messages": messages, endpoint.limit_field: most_tokens}
        body |= {"stream_options": {"include_usage": True}, **endpoint.options}
        if endpoint.json_mode:
            body.setdefault("response_format", {"type": "json_object"})
        asked = self._client.chat.completions.with_streaming_response.create(
            model=endpoint.model,
            messages=[],  # the body's are sent: the client would walk through these, for 2 ms
            stream=True,
            extra_body=body,
            extra_headers={"X-Client-Request-Id": call_id},
        )
        loop = asyncio.get_running_loop()
        async with asked as response:
            rest, heard = b"", 0.0
            async for data in response.iter_bytes():
                *lines, rest = (rest + data).split(b"\n")
                if self._take(lines) and (now := loop.time()) > heard + HEAR_S:
                    heard = now
                    patience.reschedule(now + HEAR_S + self._limits.idle_s)
            self._take([rest])

    def _take(self, lines: list[bytes]) -> bool:
        """Read lines of server-sent events; whether they told anything of the answer."""
        told = False
        for line in lines:
            if not line.startswith(b"data:") or (data := line[5:].strip()) == b"[DONE]":
                continue
            chunk = _chunks.decode(data)
            if chunk.error is not None:
                raise msgspec.DecodeError("the provider reports an error in the stream")
            if chunk.usage is not None:
                self.reply.usage, self.reply.billing = chunk.usage, "usage"
            for choice in chunk.choices:
                told = self._choice(choice) or told
        return told

    def _choice(self, choice: _Choice) -> bool:
        self._finish = choice.finish_reason or self._finish
        if not choice.delta.content:
            return choice.finish_reason is not None
        if self.reply.first_token_s is None:
            self.reply.first_token_s = time.monotonic() - self._started
            self._on_first_token()
        self._parts.append(choice.delta.content)
        return True

    def _conclude(self) -> None:
        reply = self.reply
        reply.text = "".join(self._parts)[:MOST_TEXT]
        if self._finish is None:
            reply.outcome = "cut_off" if self._parts else "empty"
        elif self._finish != "stop":
            reply.outcome = f"finish_{self._finish}"[:40]
        elif not reply.text.strip():
            reply.outcome = "empty"


def _refused(error: BaseException | None) -> bool:
    """Whether no connection came about; the client's own classes do not tell this from a lost one."""
    while error is not None:
        if isinstance(error, aiohttp.ClientConnectorError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds by `retry-after-ms` or `Retry-After` (seconds or a date), else a moment; an hour at most."""
    with contextlib.suppress(ValueError):
        if milliseconds := headers.get("retry-after-ms"):
            return _bounded(float(milliseconds) / 1000)
    text = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return _bounded(float(text))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return _bounded(parsedate_to_datetime(text).timestamp() - time.time())
    return COOL_S


def _bounded(seconds: float) -> float:
    return min(LONGEST_COOL_S, max(0.0, seconds))
