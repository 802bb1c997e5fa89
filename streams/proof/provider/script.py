"""The simulated provider's script: its speed and its profiles."""

import math
import random

import msgspec

from streams.proof.provider.profiles import profile_of

# the faults that every provider may have, among the broken profiles
FAULTS = (
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
    "error_in_stream",
    "length",  # half of the answer, with finish_reason "length"
    "content_filter",
)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The timing and the profiles of calls.

    `total_s` is the median of a call's total time. The time to the first token is lognormal around `first_token_s`.
    `profiles` gives the share of the calls for each profile of `profiles.toml`; the other calls are plain.
    """

    total_s: float = 3.0
    first_token_s: float = 0.6
    spread: float = 0.25
    profiles: dict[str, float] = {}
    retry_after_s: float = 2.0
    drip_s: float = 0.7
    tokens_a_chunk: int = 1

    def draw(self, rng: random.Random) -> "Manner":
        """Draw the timing and the profile of one call."""
        first = min(self.first_token_s * math.exp(rng.gauss(0, self.spread)), 0.9 * self.total_s)
        total = self.total_s * math.exp(rng.gauss(0, self.spread / 5))
        name, dice = None, rng.random()
        for each, share in self.profiles.items():
            if (dice := dice - share) < 0:
                name = each
                break
        if name is not None and (own := profile_of(name).first_token_s) is not None:
            first, total = own, own + max(0.0, total - first)
        return Manner(first, max(total, first), name)


COPY_3_S = Script(total_s=3.0, first_token_s=0.6)
AT_ONCE = Script(total_s=0.2, first_token_s=0.1)


class Manner(msgspec.Struct, frozen=True):
    """One call's first token and end, in seconds after the request, and the name of its profile."""

    first_token_s: float
    total_s: float
    profile: str | None
