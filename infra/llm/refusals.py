"""A provider's refusal of a request: its status, its own words, and its subject."""

import contextlib
import html
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Literal

About = Literal["input", "request", "account", "load", "service"]
COOL_S, MOST_COOL_S = 1.0, 10.0
MOST_WORDS = 300
SHORTEST_KEY = 8  # a shorter one is a word such as `none`
# words of providers for input that their filters refuse: docs/generation.md names the sources
INPUT = re.compile(
    r"content[ _-]?(?:filter|policy|management|moderation|exists risk)|responsible ?ai|invalid_prompt"
    r"|usage (?:polic|guideline)|data_?inspection|inappropriate content|new_sensitive|敏感|censor|\bflagged\b"
    r"|sensitive[ _]?(?:content|word|info|topic|material)|unsafe[ _](?:content|input|prompt|output|text)"
    r"|prohibited[ _](?:content|use)|\bmoderation(?:_blocked)?\b|block(?:ed)?_?reason"
    r"|(?:input|prompt|content|text|messages?|output|response)\b.{0,40}(?<!case[- ])\b(?:sensitive|unsafe|prohibited)\b"
    r"|\bsafety[ _](?:check|system|filter|setting|polic|guideline|reason|concern|block|violation|standard)"
    r"|(?:blocked|violat\w*|due to) .{0,40}\bsafety\b|(?:blocked|violat\w*|triggered|by) .{0,30}\bguardrail"
    r"|guardrail.{0,40}(?:block|interven|trigger|violat)",
    re.IGNORECASE,
)
# words about a field or about the account, which may hold the words above
UNKNOWN = re.compile(
    r"(?:unknown|unrecogni[sz]ed|unsupported|unexpected) (?:request )?(?:parameter|field|argument|name|keyword|property"
    r"|option)|extra (?:inputs|fields)|extra_forbidden|cannot find field",
    re.IGNORECASE,
)
HELD = re.compile(
    r"\b(?:account|organi[sz]ation|project|workspace|team|access|key)\b"
    r"(?:(?!input|prompt|content|message|request|output|text).){0,80}"
    r"\b(?:flagged|prohibited|suspended|disabled|deactivated|terminated|banned|restricted|blocked)\b",
    re.IGNORECASE,
)
# words about the key, the bill or the model's name, which some providers send with the status of a wrong request
ACCOUNT = re.compile(
    r"api[ _-]?key|credit balance|insufficient|billing|arrears|not a valid model|model[ _]not[ _](?:found|exist)"
    r"|unknown model|model names\b|model .{0,80}(?:does not|doesn't) exist|authentication_error|permission_error"
    r"|unauthorized",
    re.IGNORECASE,
)
LOAD = re.compile(
    r"rate[ _-]?limit|overloaded|too[ _]?many[ _]?requests|resource[ _]?exhausted|throttl|server[ _]?busy",
    re.IGNORECASE,
)
WRONG = re.compile(r"invalid[ _]?(?:request|arg|param)|bad[ _]?request|validat|unsupported", re.IGNORECASE)
# the statuses of errors within a stream that have none, by their words
BY_WORDS = ((LOAD, 429), (ACCOUNT, 403), (WRONG, 400))
STATUSES = ("code", "status", "status_code", "http_code")
# words that refuse a field; most services say `invalid_request_error` of any wrong request
REFUSED = re.compile(
    r"unsupported|not support|n't support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|not available"
    r"|extra (?:inputs|fields)|extra_forbidden|cannot find field|invalid(?!_request_error|_argument)|must be|use '"
    r"|instead|verified|only|prohibited|forbidden|deprecated|no longer",
    re.IGNORECASE,
)
SECRET = re.compile(r"\b(?:sk|gsk|xai|pk|rk)-[\w*.-]{6,}|\bAIza[\w-]{10,}|\bBearer +[\w*.-]{6,}")
HTML = re.compile(r"<[^<>]{1,200}>")
# the shortest repeated parts of an input, in letters and digits: a Japanese name has four characters
ECHOES = (8, re.compile("")), (4, re.compile(r"[^\x00-\u0370]{4}"))
# fields of errors in which services repeat the request
INPUTS = {"input", "ctx", "body", "request", "messages", "prompt"}
ESCAPES = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|[nrt])")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal. `words` are the provider's own, cut and cleaned; `param` is the field that it names.

    `fields` are the fields of the request that it refuses.
    """

    status: int
    words: str
    code: str = ""
    param: str = ""
    fields: tuple[str, ...] = ()

    @property
    def about(self) -> About:
        """The subject of the refusal. Only `account` and `service` concern the provider's health."""
        if self.fields and self.status in (400, 406, 422):
            return "request"
        if (self.status in (400, 403, 406, 422, 451) or self.status >= 500) and self.filtered:
            return "input"
        if self.status in (429, 503) or (self.status != 413 and LOAD.search(self.code)):
            return "load"
        if self.status in (401, 402, 403, 404) or (self.status in (400, 422) and self._of_account):
            return "account"
        return "request" if self.status in (400, 406, 411, 413, 415, 422, 451) else "service"

    @property
    def filtered(self) -> bool:
        """Whether its words are those of a filter for the input or the answer."""
        known = UNKNOWN.search(self.words) or HELD.search(self.words)
        return not known and INPUT.search(f"{self.code} {self.words}") is not None

    @property
    def _of_account(self) -> bool:
        return (HELD.search(self.words) or ACCOUNT.search(f"{self.code} {self.words}")) is not None

    @property
    def billed(self) -> bool:
        """Whether the provider may bill the call, because it has begun to work on it."""
        return self.about == "input" or self.status in (408, 504, 524) or "validate" in self.code


def refusal_of(
    status: int, body: Any, key: str, sent: Iterable[str] = (), typed: Sequence[str] | None = None
) -> Refusal:
    """Return the refusal in an error's body. Its words hold no `key` and no customer's input.

    `sent` are the names of the request's fields, or the request itself. `typed` are the texts that a refusal must not
    repeat: by default the request's messages but its instructions.
    """
    typed = _typed(sent) if typed is None else typed
    inner: Any = body[0] if isinstance(body, list) and body else body
    if isinstance(inner, Mapping) and isinstance(inner.get("error"), (Mapping, str)):
        inner = inner["error"]
    if not isinstance(inner, Mapping):
        refusal = Refusal(status, cleaned(inner, key, typed))
        return replace(refusal, fields=refused_fields(refusal, sent))
    words = inner.get("message") or inner.get("detail") or inner.get("msg") or dict(inner)
    said = [words, *(inner[name] for name in ("innererror", "metadata") if inner.get(name))]
    code = " ".join(str(inner[name]) for name in ("code", "type", "status") if inner.get(name))
    shown = cleaned(" ".join(str(_without_input(part)) for part in said), key, typed)
    refusal = Refusal(status, shown, code[:100], str(inner.get("param") or ""))
    return replace(refusal, fields=refused_fields(refusal, sent))


def refusal_in_stream(
    error: Mapping[str, Any], key: str, sent: Iterable[str] = (), typed: Sequence[str] | None = None
) -> Refusal:
    """Return the refusal in an error that came within a stream. Its words decide where it has no status."""
    refusal = refusal_of(0, {"error": error}, key, sent, typed)
    status = next((number for name in STATUSES if (number := _status(error.get(name)))), 0)
    if refusal.filtered:
        status = 400
    words = f"{refusal.code} {refusal.words}"
    return replace(refusal, status=status or next((code for known, code in BY_WORDS if known.search(words)), 500))


def _status(value: Any) -> int:
    """Return the status of an error that is written as a number or as text; 0 for another code."""
    found = re.fullmatch(r"([45]\d\d)(?:\.0)?", str(value)) if isinstance(value, (int, float, str)) else None
    return int(found[1]) if found else 0


def refused_fields(refusal: Refusal, sent: Iterable[str]) -> tuple[str, ...]:
    """Return the sent fields that a refusal names, if it refuses a field.

    The messages are needed, so they are never among them.
    """
    words, param = refusal.words, refusal.param
    if not REFUSED.search(f"{refusal.code} {words}"):
        return ()
    names = [name for name in sent if name != "messages" and not (name == "user" and "role" in words.lower())]
    by_param = tuple(name for name in names if _as_field(name).search(param))
    if by_param or param.startswith("messages"):
        return by_param
    return tuple(name for name in names if _as_field(name).search(words))


@cache
def _as_field(name: str) -> re.Pattern[str]:
    """Return the pattern of a field's name.

    A name that is an English word counts only where it stands like a field.
    """
    word = rf"(?<![\w-]){re.escape(name)}(?![\w-])"
    if not name.isalpha():
        return re.compile(word)
    before = r"(?:^|[\"'`.]|\b(?:parameter|field|argument|name|option|property|supports?|for):? )"
    return re.compile(rf"{before}{word}|{word}(?:\s*[=:]|[\"'`] | (?:parameter|field|option|is|does)\b)")


def cleaned(words: Any, key: str, typed: Sequence[str] = ()) -> str:
    """Return a provider's words as one short line, without markup, keys and the typed texts."""
    said = str(_without_input(words) or "")[: 20 * MOST_WORDS]
    text = HTML.sub(" ", _without_echo(_plain(said), typed) if typed else said)
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    text = SECRET.sub("…", text.replace(key, "…") if len(key) >= SHORTEST_KEY else text)
    return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS - 1]}…"


def typed_in(messages: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the texts of messages without the instructions, which hold no word of a customer."""
    return [message["content"] for message in messages if message["role"] != "system"]


def _typed(sent: Iterable[str]) -> list[str]:
    return typed_in(sent.get("messages", ())) if isinstance(sent, Mapping) else []


def _without_input(words: Any) -> Any:
    """Return an error without the input that services add to it.

    An error of pydantic becomes its place, text and type.
    """
    if isinstance(words, (list, tuple)):
        parts = [_without_input(each) for each in words]
        return "; ".join(parts) if parts and all(isinstance(each, str) for each in parts) else parts
    if not isinstance(words, Mapping):
        return words
    if "loc" in words and "msg" in words:
        place = words["loc"] if isinstance(words["loc"], (list, tuple)) else [words["loc"]]
        kind = f" ({words['type']})" if words.get("type") else ""
        return f"{'.'.join(map(str, place))}: {words['msg']}{kind}"
    return {name: _without_input(each) for name, each in words.items() if name not in INPUTS}


def _without_echo(text: str, typed: Sequence[str]) -> str:
    """Return the text with `…` in place of each part that also stands in the typed texts.

    Letters and digits count alone, because services write white space, quotes and escapes anew.
    """
    places = [at for at, mark in enumerate(text) if mark.isalnum()]
    letters, sources = _letters(text), [_letters(_plain(each)) for each in typed]
    repeated: set[int] = set()
    for size, kind in ECHOES:
        known = {source[at : at + size] for source in sources for at in range(len(source) - size + 1)}
        for at in range(len(letters) - size + 1):
            if (part := letters[at : at + size]) in known and kind.match(part):
                repeated.update(range(places[at], places[at + size - 1] + 1))
    return re.sub("\0+", "…", "".join("\0" if at in repeated else mark for at, mark in enumerate(text)))


def _letters(text: str) -> str:
    return "".join(mark.lower()[0] for mark in text if mark.isalnum())


def _plain(text: str) -> str:
    """Return the text with the characters that escapes of JSON, Python and HTML stand for."""
    plain = ESCAPES.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", html.unescape(text))
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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
