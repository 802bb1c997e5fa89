"""The simulated provider's bill: its own token count, at its own prices."""

import math
from collections import Counter
from typing import Any

import msgspec

CHARACTERS_A_TOKEN = 1
MICRO_JPY_A_USD = 155_000_000


class Prices(msgspec.Struct, frozen=True):
    """Prices in micro-yen per million tokens."""

    input: int
    output: int


class Line(msgspec.Struct):
    """The bill's line for one call.

    `call_id` is the client's id; `asked` is a hash of the messages. `profile` is the drawn one.
    `whole` is whether the answer was complete. Tokens of reasoning are billed as those of the completion. `usd` is the
    price of a complete answer that replaces the price of its tokens, if it is not 0.
    """

    call_id: str
    asked: str
    model: str
    profile: str | None
    prompt_tokens: int
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    billed: bool = True
    whole: bool = False
    micro_jpy: int = 0
    usd: float = 0.0


class Bill:
    """All calls since the last reset. Generated tokens are billed even if the client has disconnected."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self.lines: list[Line] = []
        self.open = 0
        self.most_open = 0

    def begin(self, line: Line) -> None:
        """Add the line of a new call."""
        self.lines.append(line)
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def end(self, line: Line) -> None:
        """Set the price of a call that has ended. The price is rounded up to a whole micro-yen."""
        self.open -= 1
        if line.billed:
            prices = self._prices
            tokens = line.completion_tokens + line.reasoning_tokens
            price = line.prompt_tokens * prices.input + tokens * prices.output
            line.micro_jpy = math.ceil(price / 1_000_000)
            if line.whole and line.usd:
                line.micro_jpy = math.ceil(line.usd * MICRO_JPY_A_USD)

    def sums(self) -> dict[str, Any]:
        """Return the sums of all calls. `cut_off` counts billed calls that ended early."""
        return {
            "calls": len(self.lines),
            "open": self.open,
            "most_open": self.most_open,
            "micro_jpy": sum(line.micro_jpy for line in self.lines),
            "cut_off": sum(line.billed and not line.whole for line in self.lines),
            "by_profile": Counter(line.profile or "none" for line in self.lines),
        }


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """Return the number of tokens of a prompt."""
    return sum(4 + len(str(message.get("content", ""))) for message in messages)


def tokens_of(text: str) -> list[str]:
    """Split an answer into tokens, in order."""
    return [text[at : at + CHARACTERS_A_TOKEN] for at in range(0, len(text), CHARACTERS_A_TOKEN)]
