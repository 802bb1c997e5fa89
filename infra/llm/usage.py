"""The token counts that a provider reports, and whether a bill can be based on them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# tokenizers put three Japanese characters (nine bytes) into a token at most on average, or about four of other texts
BYTES_A_TOKEN = 9
MOST_TOKENS = 10_000_000
MOST_USD = 100.0


@dataclass(frozen=True, slots=True)
class Usage:
    """The billed tokens of a call. The prompt's include `cached`, the completion's `reasoning`.

    `usd` is the cost that the provider itself reports, 0 if it reports none.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: int = 0
    reasoning: int = 0
    usd: float = 0.0

    def plausible(self, *, asked: int, answered: int, pieces: int) -> bool:
        """Return whether the counts are not too low for the text that was sent and received.

        `asked` and `answered` are bytes. `pieces` are the parts of the answer: each has a token or more.
        """
        enough = self.completion_tokens >= max(pieces, answered / BYTES_A_TOKEN)
        return enough and self.prompt_tokens >= asked / BYTES_A_TOKEN


def usage_of(raw: Any) -> Usage | None:
    """Return the counts of a usage object. Return None if a count is missing or no plain number.

    Some providers leave a part out of its whole: cached tokens out of the prompt's, reasoning out of the completion's.
    Reasoning is then in `total_tokens`, or in no sum at all. A part that is larger than its whole was left out of it.
    """
    if not isinstance(raw, Mapping):
        return None
    prompt, completion, total = (_count(raw, name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if prompt is None or completion is None:
        return None
    cached = _detail(raw, "prompt_tokens_details", "cached_tokens") or _count(raw, "prompt_cache_hit_tokens") or 0
    reasoning = _detail(raw, "completion_tokens_details", "reasoning_tokens") or 0
    prompt += cached if cached > prompt else 0
    whole = completion + reasoning if total is None or reasoning > completion else completion
    return Usage(prompt, max(whole, (total or 0) - prompt), cached, reasoning, _usd(raw.get("cost")))


def _detail(raw: Mapping[str, Any], details: str, name: str) -> int | None:
    inner = raw.get(details)
    return _count(inner, name) if isinstance(inner, Mapping) else None


def _count(raw: Mapping[str, Any], name: str) -> int | None:
    """Return a count that is written as a number or as text; None if it is neither, or out of range."""
    number = _number(raw.get(name))
    return math.ceil(number) if 0 <= number <= MOST_TOKENS else None


def _usd(cost: Any) -> float:
    """Return the cost that a provider reports, in US dollars: a number, or an object with the total."""
    number = _number(cost.get("total_cost") if isinstance(cost, Mapping) else cost)
    return number if 0 <= number <= MOST_USD else 0.0


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return math.nan
