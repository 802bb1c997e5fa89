"""The form of the requests to a model: the endpoint's settings, and lessons from refusals.

A refusal that names a field is no failure: the request is sent again without the field, or with another name. What
was learned holds for this process; `lpstream providers check` says what to write into the settings.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from infra.llm.endpoint import Endpoint, JsonMode
from infra.llm.refusals import Refusal

LIMITS = ("max_completion_tokens", "max_tokens")
MOST_LEARNED = 8
ROOM, MOST_ROOM = 2_000, 6_000
REFUSED = re.compile(
    r"unsupported|not support|n't support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|extra_forbidden"
    r"|extra (?:inputs|fields)|cannot find field|invalid|must be|not available|use '|instead|verified|only",
    re.IGNORECASE,
)
# a refusal of the value, not of the field
TOO_MUCH = re.compile(r"too (?:large|big|high|many|long)|at most|maximum|less than|exceed|greater than", re.IGNORECASE)
NO_SYSTEM = re.compile(r"system (?:role|message|prompt|instruction)s?|developer instruction|role'? does not support")
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
        self._tried_limits = {endpoint.limit_field}
        self._tried_modes = {endpoint.json_mode}

    def most_tokens(self, most_tokens: int) -> int:
        """Return the token limit that is sent and reserved for an answer of `most_tokens`."""
        return most_tokens + self.head_room

    def body(
        self, messages: Sequence[Mapping[str, str]], most_tokens: int, schema: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return the fields of a request, without `model`. `most_tokens` is the limit that is sent."""
        body: dict[str, Any] = {"messages": messages if self.system else _without_system(messages)}
        if self.limit_field is not None:
            body[self.limit_field] = most_tokens
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
        words = f"{refusal.code} {refusal.param} {refusal.words}"
        if len(self.learned) == version and version < MOST_LEARNED and REFUSED.search(words):
            self._learn(sent, refusal.param, words)
        return len(self.learned) > version

    def give_room(self) -> bool:
        """Raise the token limit of all requests. Return False if it is high already."""
        if self.head_room >= MOST_ROOM or self.limit_field is None:
            return False
        self.head_room += ROOM
        self._note(f"head_room={self.head_room}")
        return True

    def _response_format(self, schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if self.json_mode == "json_schema" and schema is not None:
            return {"type": "json_schema", "json_schema": {"name": "copy", "strict": True, "schema": schema}}
        return None if self.json_mode == "off" else {"type": "json_object"}

    def _learn(self, sent: Mapping[str, Any], param: str, words: str) -> None:
        named = _named(sent, param) or _named(sent, words)
        if self.limit_field in named:
            if not TOO_MUCH.search(words):
                self._other_limit()
        elif "response_format" in named or ("response_format" in sent and "json_schema" in words):
            self._other_format(words)
        elif named:
            self.omit.update(named)
            self._note(*(f"omit={name}" for name in named))
        elif NO_SYSTEM.search(words.lower()) and self.system:
            self.system = False
            self._note("no system message")
        elif self.stream and re.search(r"\bstream", words):
            self.stream = False
            self._note("no streaming")

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


def _named(sent: Mapping[str, Any], words: str) -> list[str]:
    """Return the sent fields that the words name. The messages are needed, so they are never among them."""
    return [name for name in sent if name != "messages" and re.search(rf"\b{re.escape(name)}\b", words)]


def _without_system(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the messages with the instructions at the beginning of the first message of the user."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    return [{**rest[0], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]] if rest else rest
