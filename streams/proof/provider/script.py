"""What the simulated provider is told to do: how fast it is, and which faults it has."""

import math
import random
from typing import Literal

import msgspec

Fault = Literal[
    "http_429",  # with Retry-After
    "http_500",
    "hang_headers",  # the connection is taken, and nothing answered
    "hang_first",  # headers, and never a token
    "stall",  # half of the answer, then silence
    "drip",  # a token every `drip_s`, for ever
    "cut",  # half of the answer, then the connection is closed
    "empty",  # a stream without content
    "malformed",  # half of a JSON document, as if it were whole
    "wrong_schema",  # JSON that is no answer to the question
    "bad_stream",  # an event that is no JSON
    "length",  # cut at the token limit, and says so
    "content_filter",
]
FAULTS: tuple[str, ...] = Fault.__args__  # type: ignore[attr-defined]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """`total_s` is the median of a call's whole time; its first token comes at a lognormal time around `first_token_s`.

    `faults` gives each fault's share of the calls; `fault_in` names models that have them, all when empty.
    """

    total_s: float = 3.0
    first_token_s: float = 0.6
    spread: float = 0.25
    faults: dict[Fault, float] = {}
    retry_after_s: float = 2.0
    drip_s: float = 0.7

    def draw(self, rng: random.Random) -> "Manner":
        """How one call goes."""
        first = min(self.first_token_s * math.exp(rng.gauss(0, self.spread)), 0.9 * self.total_s)
        total = self.total_s * math.exp(rng.gauss(0, self.spread / 5))
        dice = rng.random()
        for fault, share in self.faults.items():
            if (dice := dice - share) < 0:
                return Manner(first, max(total, first), fault)
        return Manner(first, max(total, first), None)


class Manner(msgspec.Struct, frozen=True):
    """How one call goes: its first token and its end, s after the request, and its fault."""

    first_token_s: float
    total_s: float
    fault: Fault | None
