"""The simulated provider's script: its speed and its faults."""

import math
import random
from typing import Literal

import msgspec

Fault = Literal[
    "http_429",  # with Retry-After
    "http_500",
    "hang_headers",  # the connection is accepted, but no headers follow
    "hang_first",  # headers, but no token
    "stall",  # half of the answer, then nothing
    "drip",  # a token every `drip_s`
    "cut",  # half of the answer, then the connection is closed
    "empty",  # a stream without content
    "malformed",  # half of a JSON document, with finish_reason "stop"
    "wrong_schema",  # JSON that does not fit the schema
    "bad_stream",  # an event that is not JSON
    "length",  # half of the answer, with finish_reason "length"
    "content_filter",
]
FAULTS: tuple[str, ...] = Fault.__args__  # type: ignore[attr-defined]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The timing and the faults of calls.

    `total_s` is the median of a call's total time. The time to the first token is lognormal around `first_token_s`.
    `faults` gives each fault's share of the calls.
    """

    total_s: float = 3.0
    first_token_s: float = 0.6
    spread: float = 0.25
    faults: dict[Fault, float] = {}
    retry_after_s: float = 2.0
    drip_s: float = 0.7

    def draw(self, rng: random.Random) -> "Manner":
        """Draw the timing and the fault of one call."""
        first = min(self.first_token_s * math.exp(rng.gauss(0, self.spread)), 0.9 * self.total_s)
        total = self.total_s * math.exp(rng.gauss(0, self.spread / 5))
        dice = rng.random()
        for fault, share in self.faults.items():
            if (dice := dice - share) < 0:
                return Manner(first, max(total, first), fault)
        return Manner(first, max(total, first), None)


COPY_3_S = Script(total_s=3.0, first_token_s=0.6)
AT_ONCE = Script(total_s=0.2, first_token_s=0.1)


class Manner(msgspec.Struct, frozen=True):
    """One call's first token and end, in seconds after the request, and its fault."""

    first_token_s: float
    total_s: float
    fault: Fault | None
