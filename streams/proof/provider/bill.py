"""What the simulated provider bills: its own count, by its own price list."""

import math
import time
from collections import Counter
from typing import Any

import msgspec

CHARACTERS_A_TOKEN = 1


class Prices(msgspec.Struct, frozen=True):
    """Micro-yen per million tokens."""

    input: int
    output: int


class Line(msgspec.Struct):
    """One call: the client's id for it, a hash of what was asked, what was done, what is billed for."""

    call_id: str
    asked: str
    model: str
    fault: str | None
    prompt_tokens: int
    completion_tokens: int = 0
    billed: bool = True
    whole: bool = False
    micro_jpy: int = 0
    ended_ms: int = 0


class Bill:
    """All calls since the last reset. What was generated is billed, whether the client stayed to read it or not."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self.lines: list[Line] = []
        self.open = 0
        self.most_open = 0

    def begin(self, line: Line) -> None:
        """A call has come."""
        self.lines.append(line)
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def end(self, line: Line) -> None:
        """It has ended: its price, rounded up to a whole micro-yen."""
        self.open -= 1
        line.ended_ms = int(time.time() * 1000)
        if line.billed:
            prices = self._prices
            price = line.prompt_tokens * prices.input + line.completion_tokens * prices.output
            line.micro_jpy = math.ceil(price / 1_000_000)

    def sums(self) -> dict[str, Any]:
        """Figures of all calls; those cut off before their end are counted apart."""
        return {
            "calls": len(self.lines),
            "open": self.open,
            "most_open": self.most_open,
            "micro_jpy": sum(line.micro_jpy for line in self.lines),
            "cut_off": sum(line.billed and not line.whole for line in self.lines),
            "by_fault": Counter(line.fault or "none" for line in self.lines),
        }


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """Tokens of a prompt."""
    return sum(4 + len(str(message.get("content", ""))) for message in messages)


def tokens_of(text: str) -> list[str]:
    """An answer as tokens, in order."""
    return [text[at : at + CHARACTERS_A_TOKEN] for at in range(0, len(text), CHARACTERS_A_TOKEN)]
