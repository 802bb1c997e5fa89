"""The profiles of providers: how real services behave. `profiles.toml` has them as data."""

from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

FILE = Path(__file__).with_name("profiles.toml")
Edit = Literal[
    "fence", "trailing_commas", "line_comments", "block_comment", "single_quotes", "no_last_brace", "no_last_braces",
    "sections_as_text", "wrapped", "wrapped_twice", "in_list", "section_a_line", "unquoted_names", "python_values",
    "curly_quotes", "raw_newlines", "as_text", "capital_names",
    "upper_names", "labelled", "wide_signs", "escapes", "blanks", "half", "other",
]  # fmt: skip
Usage = Literal[
    "last", "with_finish", "every", "every_without_last", "null", "none", "text", "strings", "float", "number", "groq",
    "without_reasoning", "without_total", "cached", "negative", "partial", "zero", "early",
    "in_choice", "cost",
    "placeholders",
]  # fmt: skip
Fault = Literal["hang_headers", "hang_first", "stall", "drip", "cut", "close", "endless", "empty"]


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A behaviour, its services, its source, and the right state of the breaker after it.

    `{draft}` in `before`, `after` and `thoughts` is another whole answer. `refuses` gives the body of the refusal for a
    field of a request; `field:value` refuses a value, and `field>number` values over the number. `tail` comes after the
    end. `times` limits `status` to the first calls. `usd` is the price of an answer, whatever its tokens cost.
    """

    service: str
    says: str
    source: str
    breaker: Literal["closed", "open"] = "closed"
    first_token_s: float | None = None
    pause_s: float = 0.0
    edits: list[Edit] = []
    before: str = ""
    after: str = ""
    reasoning: str = ""
    thoughts: str = ""
    hidden_tokens: int = 0
    counts_reasoning: bool = False
    frame: Literal["events", "lines", "document", "pretty", "list"] = "events"
    line_end: str = "\n"
    prefix: str = "data: "
    lead: str = ""
    beat: str = ""
    odd: str = ""
    tail: str = ""
    done: bool = True
    stays_open: bool = False
    tokens_a_chunk: int = 1
    content: Literal[
        "text", "parts", "thinking_parts", "object", "whole_so_far", "completion", "tool_calls", "value", "delta"
    ] = "text"
    ending: Literal["empty", "null", "absent", "message"] = "empty"
    finish: str | None = "stop"
    usage: Usage = "last"
    ignores_limit: bool = False
    refuses: dict[str, str] = {}
    refusal_status: int = 400
    status: int = 200
    body: str = ""
    headers: dict[str, str] = {}
    times: int | None = None
    bills_prompt: bool = False
    usd: float = 0.0
    error: str = ""
    refusal: str = ""
    fault: Fault | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    healthy: dict[str, Profile]
    broken: dict[str, Profile]


@cache
def profiles() -> _File:
    """Return the profiles of healthy and of broken providers, by name."""
    return msgspec.toml.decode(FILE.read_bytes(), type=_File)


@cache
def profile_of(name: str) -> Profile:
    """Return a profile by its name. Raise KeyError for an unknown name."""
    file = profiles()
    return file.healthy.get(name) or file.broken[name]
