"""The endpoint of a provider's model: address, prices and request options."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.llm.usage import Usage

MICRO = 1_000_000
PER_MESSAGE = 16
JsonMode = Literal["off", "json_object", "json_schema"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model of a provider. Prices are micro-yen per million tokens.

    `micro_jpy_usd` is the price of a US dollar in micro-yen.
    `limit_field` is the provider's field for the token limit of an answer, and `head_room` is added to the limit for
    reasoning. `options` are added to every request, and the fields in `omit` are left out. Each `{key}` in the values
    of `headers` becomes the key.
    """

    provider: str
    base_url: str
    key: str = field(repr=False)
    model: str
    micro_jpy_input: int
    micro_jpy_output: int
    limit_field: str = "max_completion_tokens"
    json_mode: JsonMode = "json_object"
    options: Mapping[str, Any] = field(default_factory=dict)
    micro_jpy_cached: int | None = None
    micro_jpy_reasoning: int | None = None
    head_room: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    omit: tuple[str, ...] = ()
    micro_jpy_usd: int = 0

    def cost(self, usage: Usage) -> int:
        """Return the cost of a call in micro-yen, rounded up.

        It is the price of the tokens, or the reported cost if that is larger.
        """
        cached = min(usage.cached, usage.prompt_tokens)
        reasoning = min(usage.reasoning, usage.completion_tokens)
        for_cached = self.micro_jpy_input if self.micro_jpy_cached is None else self.micro_jpy_cached
        for_reasoning = self.micro_jpy_output if self.micro_jpy_reasoning is None else self.micro_jpy_reasoning
        price = (usage.prompt_tokens - cached) * self.micro_jpy_input + cached * for_cached
        price += (usage.completion_tokens - reasoning) * self.micro_jpy_output + reasoning * for_reasoning
        return max(-(-price // MICRO), math.ceil(usage.usd * self.micro_jpy_usd))

    def most(self, messages: Sequence[Mapping[str, str]], most_tokens: int) -> int:
        """Return the maximum cost of a call in micro-yen.

        The bytes of the messages bound their tokens: byte-level tokenizers make at most one token per byte.
        """
        size = sum(len(message["content"].encode()) + PER_MESSAGE for message in messages)
        dear_input = max(self.micro_jpy_input, self.micro_jpy_cached or 0)
        dear_output = max(self.micro_jpy_output, self.micro_jpy_reasoning or 0)
        return -(-(size * dear_input + most_tokens * dear_output) // MICRO)
