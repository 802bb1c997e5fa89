"""A provider's refusal of a request: its status, its own words, and its subject."""

import contextlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

About = Literal["input", "request", "account", "load", "service"]
COOL_S, MOST_COOL_S = 1.0, 10.0
MOST_WORDS = 300
SHORTEST_KEY = 8  # a shorter one is a word such as `none`
# words of providers for input that their filters refuse: docs/generation.md names the sources
INPUT = re.compile(
    r"content[ _-]?(?:filter|policy|management|moderation)|responsible ?ai ?policy|invalid_prompt|prompt was flagged"
    r"|usage polic|data_?inspection|inappropriate content|sensitive|flagged|moderation|safety|prohibited"
    r"|blocked_?reason|content exists risk|unsafe|guardrail",
    re.IGNORECASE,
)
# words about the key, the bill or the model's name, which some providers send with the status of a wrong request
ACCOUNT = re.compile(
    r"api[ _-]?key|credit balance|insufficient|billing|arrears|not a valid model|model[ _]not[ _](?:found|exist)"
    r"|unknown model|model .{0,80}(?:does not|doesn't) exist",
    re.IGNORECASE,
)
SECRET = re.compile(r"\b(?:sk|gsk|xai|pk|rk)-[\w*.-]{6,}|\bAIza[\w-]{10,}|\bBearer +[\w*.-]{6,}")
HTML = re.compile(r"<[^<>]{1,200}>")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal. `words` are the provider's own, cut and cleaned; `param` is the field that it names."""

    status: int
    words: str
    code: str = ""
    param: str = ""

    @property
    def about(self) -> About:
        """The subject of the refusal. Only `account` and `service` concern the provider's health."""
        if self.status in (429, 503):
            return "load"
        words = f"{self.code} {self.words}"
        if self.status in (400, 403, 406, 422, 451) and INPUT.search(words):
            return "input"
        if self.status in (401, 402, 403, 404) or (self.status in (400, 422) and ACCOUNT.search(words)):
            return "account"
        return "request" if self.status in (400, 406, 411, 413, 415, 422, 451) else "service"

    @property
    def billed(self) -> bool:
        """Whether the provider may bill the call, because it has begun to work on it."""
        return self.about == "input" or self.status in (408, 504, 524) or "validate" in self.code


def refusal_of(status: int, body: Any, key: str) -> Refusal:
    """Return the refusal in an error's body, in any form. `key` never appears in its words."""
    inner: Any = body[0] if isinstance(body, list) and body else body
    if isinstance(inner, Mapping) and isinstance(inner.get("error"), (Mapping, str)):
        inner = inner["error"]
    if not isinstance(inner, Mapping):
        return Refusal(status, cleaned(inner, key))
    words = inner.get("message") or inner.get("detail") or inner.get("msg") or dict(inner)
    details = [str(inner[name]) for name in ("innererror", "metadata") if inner.get(name)]
    code = " ".join(str(inner[name]) for name in ("code", "type", "status") if inner.get(name))
    return Refusal(status, cleaned(" ".join([str(words), *details]), key), code[:100], str(inner.get("param") or ""))


def cleaned(words: Any, key: str) -> str:
    """Return a provider's words as one short line without markup, control characters and keys."""
    text = HTML.sub(" ", str(words or "")[: 20 * MOST_WORDS])
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    text = SECRET.sub("…", text.replace(key, "…") if len(key) >= SHORTEST_KEY else text)
    return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS - 1]}…"


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of `retry-after-ms` or `Retry-After` (seconds or a date), else COOL_S.

    At most MOST_COOL_S: then the provider is asked again, which costs nothing if it refuses again.
    """
    with contextlib.suppress(ValueError):
        if milliseconds := headers.get("retry-after-ms"):
            return _bounded(float(milliseconds) / 1000)
    text = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return _bounded(float(text))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return _bounded(parsedate_to_datetime(text).timestamp() - time.time())
    return COOL_S


def _bounded(seconds: float) -> float:
    """Return seconds that can be waited. A provider that names no time to wait is left alone for COOL_S."""
    return COOL_S if math.isnan(seconds) or seconds <= 0 else min(MOST_COOL_S, seconds)
