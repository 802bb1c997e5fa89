"""One answer of the simulated provider, written token by token in the form of its profile."""

import asyncio
import time
from collections.abc import Callable

import msgspec
from aiohttp import web

from streams.proof.provider.bill import Line, tokens_of
from streams.proof.provider.chunks import Form
from streams.proof.provider.profiles import Profile
from streams.proof.provider.script import Manner

# tokens due within this time are sent in one write, as behind a real provider's proxies
WRITE_EVERY_S, BEAT_EVERY_S = 0.03, 0.3
FOREVER_S = 3_600
ENDLESS_TOKENS, ENDLESS_STEP_S = 20_000, 0.002
STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
JSON = {"Content-Type": "application/json"}


class AnswerStream:
    """The answer to one request."""

    def __init__(self, request: web.BaseRequest, name: str, profile: Profile, manner: Manner, line: Line) -> None:
        whole = profile.frame in ("document", "pretty", "list")
        self.response = web.StreamResponse(headers=JSON if whole else STREAM)
        self._request = request
        self._profile = profile
        self._manner = manner
        self._line = line
        self._form = Form(profile, line, name)
        self._started = time.monotonic()

    async def play(self, thoughts: str, text: str, most_tokens: int, drip_s: float) -> None:
        """Write the answer, or the part of it that the profile's fault allows."""
        await self.response.prepare(self._request)
        profile, manner = self._profile, self._manner
        await self.response.write(self._form.raw(profile.lead) + (b"[" if profile.frame == "list" else b""))
        if profile.fault == "hang_first":
            await self._wait_until(self._started + FOREVER_S)
        tokens, reasoning = self._limited(tokens_of(text), tokens_of(thoughts), most_tokens)
        step_s = (manner.total_s - manner.first_token_s) / max(1, len(tokens) + len(reasoning))
        if profile.fault == "drip":
            step_s = drip_s
        due = self._started + manner.first_token_s
        if profile.frame in ("document", "pretty"):
            await self._document("".join(tokens))
            return
        due = await self._write(reasoning, due, step_s, self._form.reasoning, "reasoning_tokens")
        half = len(tokens) // 2 if profile.pause_s or profile.odd or profile.error or self._breaks else len(tokens)
        due = await self._write(tokens[:half], due, step_s, self._form.content, "completion_tokens")
        if await self._broke():
            return
        await self.response.write(self._form.raw(profile.odd))
        await self._write(tokens[half:], due + profile.pause_s, step_s, self._form.content, "completion_tokens")
        await self._end()

    @property
    def _breaks(self) -> bool:
        return self._profile.fault in ("stall", "cut", "close")

    def _limited(self, tokens: list[str], reasoning: list[str], most_tokens: int) -> tuple[list[str], list[str]]:
        """Return the tokens of text and reasoning within the limit. Hidden reasoning is billed."""
        profile = self._profile
        if profile.fault == "endless":
            return ["あ"] * ENDLESS_TOKENS, []
        if profile.fault == "empty" or profile.refusal:
            return [], reasoning
        spent = 0
        if profile.counts_reasoning:
            spent = min(most_tokens, profile.hidden_tokens)
        self._line.reasoning_tokens = spent or profile.hidden_tokens
        if len(tokens) > most_tokens - spent and not profile.ignores_limit:
            self._form.profile = self._profile = msgspec.structs.replace(profile, finish="length")
            tokens = tokens[: most_tokens - spent]
        return tokens, reasoning

    async def _document(self, text: str) -> None:
        await self._wait_until(self._started + self._manner.total_s)
        self._line.completion_tokens = len(tokens_of(text))
        await self.response.write(self._form.document(text))
        await self._close()

    async def _write(
        self, tokens: list[str], due: float, step_s: float, form: Callable[[str], bytes], counter: str
    ) -> float:
        """Write tokens from the time `due` on; return when the next is due."""
        size, waiting = self._profile.tokens_a_chunk, b""
        if self._profile.fault == "endless":
            step_s = ENDLESS_STEP_S
        for at in range(0, len(tokens), size):
            part = tokens[at : at + size]
            due += step_s * (len(part) - 1)
            if (wait := due - time.monotonic()) > 0:
                if waiting:
                    await self.response.write(waiting)
                    waiting = b""
                first = self._line.completion_tokens == 0
                await self._wait_until(due if first or wait > WRITE_EVERY_S else time.monotonic() + WRITE_EVERY_S)
            setattr(self._line, counter, getattr(self._line, counter) + len(part))
            waiting += form("".join(part))
            due += step_s
        if waiting:
            await self.response.write(waiting)
        return due

    async def _wait_until(self, due: float) -> None:
        """Wait, and write the profile's beats meanwhile."""
        while self._profile.beat and due - time.monotonic() > BEAT_EVERY_S:
            await asyncio.sleep(BEAT_EVERY_S)
            await self.response.write(self._form.raw(self._profile.beat))
        await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _broke(self) -> bool:
        """Return whether the answer ends here, half way."""
        profile = self._profile
        if profile.fault == "stall":
            await self._wait_until(self._started + FOREVER_S)
        if profile.fault == "cut" and self._request.transport is not None:
            self._request.transport.abort()
        if profile.error:
            await self.response.write(self._form.raw(f"data: {profile.error}\n\n"))
        if profile.fault == "close" or profile.error:
            await self.response.write_eof()
        return self._breaks or bool(profile.error)

    async def _end(self) -> None:
        if self._profile.refusal:
            self._line.completion_tokens += len(tokens_of(self._profile.refusal))
            await self.response.write(self._form.refusal())
        last = self._form.end()
        await self.response.write(last.removesuffix(b",\n") + b"]" if self._profile.frame == "list" else last)
        await self._close()

    async def _close(self) -> None:
        self._line.whole = True
        if self._profile.stays_open:
            await asyncio.sleep(FOREVER_S)
        await self.response.write_eof()
