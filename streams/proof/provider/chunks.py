"""The bytes of an answer in a profile's form: server-sent events, lines of JSON, or one document."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from streams.proof.provider.bill import Line
from streams.proof.provider.profiles import Profile


def _counts(prompt: int, completion: int) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _numbers(counts: dict[str, Any], kind: type) -> dict[str, Any]:
    return {name: kind(count) for name, count in counts.items() if isinstance(count, int)}


# how a profile reports the counts of a line; the other profiles report them as they are
REPORTS: dict[str, Callable[[Line, dict[str, Any]], Any]] = {
    "null": lambda line, counts: None,
    "none": lambda line, counts: None,
    "text": lambda line, counts: "unknown",
    "number": lambda line, counts: float(counts["total_tokens"]),
    "strings": lambda line, counts: _numbers(counts, str),
    "float": lambda line, counts: _numbers(counts, float),
    "without_reasoning": lambda line, counts: counts | {"completion_tokens": line.completion_tokens},
    "without_total": lambda line, counts: counts | {"completion_tokens": line.completion_tokens, "total_tokens": None},
    "cached": lambda line, counts: counts | {"prompt_tokens_details": {"cached_tokens": line.prompt_tokens // 2}},
    "negative": lambda line, counts: counts | {"completion_tokens": -1, "total_tokens": line.prompt_tokens - 1},
    "partial": lambda line, counts: _counts(line.prompt_tokens, counts["completion_tokens"] // 4),
    "cost": lambda line, counts: counts | {"cost": line.usd},
    "zero": lambda line, counts: _counts(0, 0),
}


class Form:
    """The form of one answer. It reads the token counts from the bill's line."""

    def __init__(self, profile: Profile, line: Line, name: str) -> None:
        self.profile = profile
        self._line = line
        self._name = name
        self._so_far = ""

    def reasoning(self, text: str) -> bytes:
        """Return the chunk of a part of the reasoning."""
        if self.profile.content == "thinking_parts":
            return self._delta({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]})
        if self.profile.reasoning == "reasoning_details":
            return self._delta({"content": "", "reasoning_details": [{"type": "reasoning.text", "text": text}]})
        return self._delta({"content": "", self.profile.reasoning: text})

    def content(self, text: str) -> bytes:
        """Return the chunk of a part of the text."""
        self._so_far += text
        part = [{"type": "text", "text": text}]
        match self.profile.content:
            case "parts" | "thinking_parts":
                return self._delta({"content": part})
            case "object":
                return self._delta({"content": part[0]})
            case "value":
                return self._delta({"content": [{"type": "text", "text": {"value": text}}]})
            case "tool_calls":
                return self._delta({"tool_calls": [{"index": 0, "function": {"name": "json", "arguments": text}}]})
            case "delta":
                return self._chunk([{"index": 0, "delta": text}], self._running())
            case "whole_so_far":
                return self._delta({"content": self._so_far})
            case "completion":
                return self._chunk([{"index": 0, "text": text, "finish_reason": None}], self._running())
        return self._delta({"content": text})

    def refusal(self) -> bytes:
        """Return the chunk of a refusal."""
        return self._delta({"content": None, "refusal": self.profile.refusal})

    def end(self) -> bytes:
        """Return the last chunks."""
        profile, usage = self.profile, self.usage()
        choice: dict[str, Any] = {"index": 0, "finish_reason": profile.finish}
        if profile.ending == "message":
            choice["message"] = {"role": "assistant", "content": self._so_far}
        elif profile.ending != "absent":
            choice["delta"] = None if profile.ending == "null" else {}
        if profile.usage == "in_choice":
            choice["usage"] = usage
        with_finish = profile.usage in ("with_finish", "every")
        last = self._chunk([choice], usage if with_finish else None)
        if profile.usage == "groq":
            last += self._frame({"choices": [], "x_groq": {"id": "req_1", "usage": usage}})
        elif not with_finish and profile.usage not in ("none", "null", "early", "every_without_last", "in_choice"):
            last += self._chunk([], usage)
        last += self.raw(profile.tail)
        if profile.done and profile.frame == "events":
            last += self._line_ends(b"data: [DONE]\n\n")
        return last

    def document(self, text: str) -> bytes:
        """Return the whole answer as one JSON document."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": self.profile.finish}
        body = {"id": self._name, "object": "chat.completion", "choices": [choice], "usage": self.usage()}
        return json.dumps(body, ensure_ascii=False, indent=2 if self.profile.frame == "pretty" else None).encode()

    def raw(self, text: str) -> bytes:
        """Return a text of the profile's, with its ends of lines."""
        return self._line_ends(text.encode())

    def usage(self) -> Any:
        """Return the token counts as the profile reports them."""
        line = self._line
        counts = _counts(line.prompt_tokens, line.completion_tokens + line.reasoning_tokens)
        if line.reasoning_tokens:
            counts["completion_tokens_details"] = {"reasoning_tokens": line.reasoning_tokens}
        report = REPORTS.get(self.profile.usage)
        return counts if report is None else report(line, counts)

    def _running(self) -> Any:
        if self.profile.usage == "placeholders":
            return _counts(0, 0)
        return self.usage() if self.profile.usage in ("every", "every_without_last", "early") else None

    def _delta(self, delta: dict[str, Any]) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._chunk([choice], self._running())

    def _chunk(self, choices: list[dict[str, Any]], usage: Any) -> bytes:
        chunk = {
            "id": self._name,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._line.model,
            "choices": choices,
            "usage": usage,
        }
        return self._frame(chunk)

    def _frame(self, chunk: dict[str, Any]) -> bytes:
        document = msgspec.json.encode(chunk)
        if self.profile.frame == "lines":
            return document + b"\n"
        if self.profile.frame == "list":
            return document + b",\n"
        return self._line_ends(self.profile.prefix.encode() + document + b"\n\n")

    def _line_ends(self, data: bytes) -> bytes:
        return data if self.profile.line_end == "\n" else data.replace(b"\n", self.profile.line_end.encode())
