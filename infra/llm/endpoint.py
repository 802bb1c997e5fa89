"""A provider's model: where it is, what it costs, how it wants to be asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MICRO = 1_000_000
PER_MESSAGE = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model of one provider. Prices are micro-yen per million tokens.

    `limit_field` is what the provider calls the most tokens of an answer; `options` go into every request as they are.
    """

    provider: str
    base_url: str
    key: str = field(repr=False)
    model: str
    micro_jpy_input: int
    micro_jpy_output: int
    limit_field: str = "max_completion_tokens"
    json_mode: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """What a call costs, micro-yen, rounded up."""
        return -(-(input_tokens * self.micro_jpy_input + output_tokens * self.micro_jpy_output) // MICRO)

    def most(self, messages: Sequence[Mapping[str, str]], most_tokens: int) -> int:
        """What a call can cost at most, micro-yen: byte-level tokenizers make no more tokens than there are bytes."""
        size = sum(len(message["content"].encode()) + PER_MESSAGE for message in messages)
        return self.cost(size, most_tokens)
