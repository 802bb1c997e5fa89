"""The form of the requests to a model: the endpoint's settings, and lessons from refusals.

A refusal that names a field is no failure: the request is sent again without the field, or with another name. What
was learned holds for this process; `lpstream providers check` says what to write into the settings.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from infra.llm.endpoint import Endpoint, JsonMode
from infra.llm.refusals import REFUSED, UNKNOWN, Refusal, refused_fields

LIMITS = ("max_completion_tokens", "max_tokens")
MOST_LEARNED = 8
ROOM, MOST_ROOM = 2_000, 6_000
# the names of the limit in refusals, which are not always those of the request
LIMIT = re.compile(r"\bmax_(?:completion_|output_|new_)?tokens\b|\bmaxOutputTokens\b|completion tokens")
# a refusal of the value, not of the field
VALUE = re.compile(
    r"too (?:large|big|high|many|long)|at (?:most|least)|maximum|minimum|less than|exceed|greater than|range",
    re.IGNORECASE,
)
# the largest value, as services state it
LARGEST = re.compile(
    r"(?:at most|up to|or equal to|less than|greater than|more than|exceeds?|(?:maximum|limit)\D{0,60}|<=?|≤|\d *>"
    r"|[\[(] *\d+ *,|between \d+ and|from \d+(?: \(\w+\))? to) *[\"'`]?(\d[\d,]*)",
    re.IGNORECASE,
)
# the context holds prompt and answer: its length is no largest value
CONTEXT = re.compile(r"context (?:length|size|window)", re.IGNORECASE)
NO_SYSTEM = re.compile(r"system (?:role|message|prompt|instruction)s?|developer instruction|role'? does not support")
NO_STREAM = re.compile(
    r"verified to stream|support\w*\W+(?:\w+\W+){0,2}stream"
    r"|\bstream(?:ing)?\b\W+(?:\w+\W+){0,4}(?:not|un\w+|disabled|false)\b",
    re.IGNORECASE,
)
LESS: dict[JsonMode, JsonMode] = {"json_schema": "json_object", "json_object": "off"}


class Dialect:
    """The form of requests to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.limit_field: str | None = endpoint.limit_field
        self.json_mode: JsonMode = endpoint.json_mode
        self.head_room = endpoint.head_room
        self.omit = set(endpoint.omit)
        self.stream = True
        self.system = True
        self.learned: list[str] = []
        self._largest: int | None = None
        self._tried_limits = {endpoint.limit_field}
        self._tried_modes = {endpoint.json_mode}

    def most_tokens(self, most_tokens: int) -> int:
        """Return the token limit that is sent and reserved for an answer of `most_tokens`."""
        return self.within(most_tokens + self.head_room)

    def within(self, reserved: int) -> int:
        """Return the token limit that is sent if `reserved` tokens are reserved."""
        return reserved if self._largest is None else min(reserved, self._largest)

    def body(
        self, messages: Sequence[Mapping[str, str]], most_tokens: int, schema: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return the fields of a request, without `model`. `most_tokens` are reserved for the answer."""
        body: dict[str, Any] = {"messages": messages if self.system else _without_system(messages)}
        if self.limit_field is not None:
            body[self.limit_field] = self.within(most_tokens)
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        body |= self._endpoint.options
        if (form := self._response_format(schema)) is not None:
            body.setdefault("response_format", form)
        return {name: value for name, value in body.items() if name not in self.omit}

    def learn(self, sent: Mapping[str, Any], version: int, refusal: Refusal) -> bool:
        """Change the form of requests after a refusal of `sent`. Return whether to send it again.

        `version` is the length of `learned` when `sent` was written: another call may have learned since.
        """
        if refusal.about != "request":
            return False
        if len(self.learned) == version and version < MOST_LEARNED:
            self._learn(sent, refusal)
        return len(self.learned) > version

    def give_room(self, most_tokens: int) -> bool:
        """Raise the token limit of all requests. Return False if it cannot rise for `most_tokens`."""
        if self.head_room >= MOST_ROOM or self.limit_field is None or self.most_tokens(most_tokens) == self._largest:
            return False
        self.head_room += ROOM
        self._note(f"head_room={self.head_room}")
        return True

    def _response_format(self, schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if self.json_mode == "json_schema" and schema is not None:
            return {"type": "json_schema", "json_schema": {"name": "copy", "strict": True, "schema": schema}}
        return None if self.json_mode == "off" else {"type": "json_object"}

    def _learn(self, sent: Mapping[str, Any], refusal: Refusal) -> None:
        words, named = f"{refusal.param} {refusal.words}", refused_fields(refusal, sent)
        refused = REFUSED.search(words)
        limit = sent.get(self.limit_field or "")
        if limit is not None and LIMIT.search(words) and (largest := _largest(words)):
            self._lower(largest, limit)
        elif self.limit_field in named:
            if not VALUE.search(words):
                self._other_limit()
        elif "response_format" in named or (refused and "response_format" in sent and "json_schema" in words):
            self._other_format(words)
        elif named:
            self.omit.update(named)
            self._note(*(f"omit={name}" for name in named))
        elif refused and NO_SYSTEM.search(words.lower()) and self.system:
            self.system = False
            self._note("no system message")
        elif NO_STREAM.search(words) and self.stream:
            self.stream = False
            self._note("no streaming")

    def _lower(self, largest: int, sent: int) -> None:
        """Lower the token limit to the largest value that a refusal of `sent` states."""
        # some services state the first value that is too large
        largest -= largest == sent
        if 0 < largest < sent:
            self._largest = largest
            self._note(f"at most {largest} tokens")

    def _other_limit(self) -> None:
        """Use the other name of the limit; if both are refused, send none."""
        refused, left = self.limit_field, [name for name in LIMITS if name not in self._tried_limits]
        self.limit_field = left[0] if left else None
        self._tried_limits.update(left)
        self._note(f"limit_field={self.limit_field}" if left else f"omit={refused}")

    def _other_format(self, words: str) -> None:
        """Use the format that the refusal names, else the next weaker one."""
        wanted: JsonMode = "json_schema" if "json_schema" in words and self.json_mode == "json_object" else "off"
        if wanted in self._tried_modes or wanted == "off":
            wanted = LESS.get(self.json_mode, "off")
        self.json_mode = "off" if wanted in self._tried_modes else wanted
        self._tried_modes.add(self.json_mode)
        if self.json_mode == "off":
            self.omit.add("response_format")
        self._note(f"json_mode={self.json_mode}")

    def _note(self, *changes: str) -> None:
        self.learned += [change for change in changes if change not in self.learned]


def _largest(words: str) -> int:
    """Return the largest token limit that a refusal states, 0 if it states none."""
    stated = None if UNKNOWN.search(words) or CONTEXT.search(words) else LARGEST.search(words)
    return 0 if stated is None else int(stated[1].replace(",", ""))


def _without_system(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the messages with the instructions at the beginning of the first message of the user."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    return [{**rest[0], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]] if rest else rest
