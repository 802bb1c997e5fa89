"""The endpoint of a provider's model: address, prices and request options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MICRO = 1_000_000
PER_MESSAGE = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model of a provider. Prices are micro-yen per million tokens.

    `limit_field` is the provider's field for the token limit of an answer. `options` are added to every request.
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
        """Return the cost of a call in micro-yen, rounded up."""
        return -(-(input_tokens * self.micro_jpy_input + output_tokens * self.micro_jpy_output) // MICRO)

    def most(self, messages: Sequence[Mapping[str, str]], most_tokens: int) -> int:
        """Return the maximum cost of a call in micro-yen.

        The bytes of the messages bound their tokens: byte-level tokenizers make at most one token per byte.
        """
        size = sum(len(message["content"].encode()) + PER_MESSAGE for message in messages)
        return self.cost(size, most_tokens)
