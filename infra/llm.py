"""A model's answer through the `openai` client, streamed, within a deadline, with a trail of attempts."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, cast

import openai
from openai import AsyncOpenAI

from schemas.generation import Attempt

FIRST_TOKEN_S, IDLE_S, MOST_TOKENS = 1.5, 1.0, 2_000
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One provider's model: prices are micro-yen per million tokens."""

    provider: str
    base_url: str
    key: str
    model: str
    micro_jpy_input: int
    micro_jpy_output: int


class Writer:
    """Endpoints in order: the first that answers in time is taken."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        # retries are ours: the client's own would not know the deadline
        self._clients = [(one, AsyncOpenAI(base_url=one.base_url, api_key=one.key, max_retries=0)) for one in endpoints]

    @property
    def configured(self) -> bool:
        """Whether there is any provider."""
        return bool(self._clients)

    async def write(self, messages: list[dict[str, str]], deadline_ms: int) -> tuple[str | None, list[Attempt]]:
        """The first whole answer before `deadline_ms` (ms UTC), or None; and what was tried."""
        attempts: list[Attempt] = []
        for endpoint, client in self._clients:
            left = deadline_ms / 1000 - time.time()
            if left < FIRST_TOKEN_S:
                break
            text, attempt = await self._try(endpoint, client, messages, left)
            attempts.append(attempt)
            if text is not None:
                return text, attempts
        return None, attempts

    async def _try(
        self, endpoint: Endpoint, client: AsyncOpenAI, messages: list[dict[str, str]], left_s: float
    ) -> tuple[str | None, Attempt]:
        call = _Call(endpoint)
        try:
            async with asyncio.timeout(left_s):
                text: str | None = await call.run(client, messages)
        except TimeoutError:
            text, call.outcome = None, "timeout"
        except openai.APIStatusError as error:
            text, call.outcome = None, f"http_{error.status_code}"
        except openai.APIError as error:
            text, call.outcome = None, type(error).__name__
        return text, call.attempt()

    async def close(self) -> None:
        """Close connections."""
        for _, client in self._clients:
            await client.close()


class _Call:
    """One streaming call and its times."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._started = time.monotonic()
        self._first_ms: int | None = None
        self._cost = 0
        self.outcome = "ok"

    async def run(self, client: AsyncOpenAI, messages: list[dict[str, str]]) -> str | None:
        """The answer's text; None when it was cut off."""
        async with asyncio.timeout(FIRST_TOKEN_S) as patience:
            stream: Any = await client.chat.completions.create(
                model=self._endpoint.model,
                messages=cast(Any, messages),
                stream=True,
                stream_options={"include_usage": True},
                max_tokens=MOST_TOKENS,
            )
            parts: list[str] = []
            finish = None
            async for chunk in stream:
                if chunk.usage is not None:
                    self._settle(chunk.usage)
                if chunk.choices and chunk.choices[0].delta.content:
                    self._first_ms = self._first_ms or self._elapsed_ms()
                    parts.append(chunk.choices[0].delta.content)
                if chunk.choices and chunk.choices[0].finish_reason:
                    finish = chunk.choices[0].finish_reason
                if self._first_ms is not None:
                    patience.reschedule(asyncio.get_running_loop().time() + IDLE_S)
        if finish != "stop" or not parts:
            self.outcome = f"finish_{finish}"
            return None
        return "".join(parts)

    def _settle(self, usage: Any) -> None:
        endpoint = self._endpoint
        spent = usage.prompt_tokens * endpoint.micro_jpy_input + usage.completion_tokens * endpoint.micro_jpy_output
        self._cost = -(-spent // MICRO)

    def _elapsed_ms(self) -> int:
        return int((time.monotonic() - self._started) * 1000)

    def attempt(self) -> Attempt:
        """What is told of the call."""
        return Attempt(
            provider=self._endpoint.provider,
            model=self._endpoint.model,
            outcome=self.outcome,
            first_token_ms=self._first_ms,
            total_ms=self._elapsed_ms(),
            cost_micro_jpy=self._cost,
        )
