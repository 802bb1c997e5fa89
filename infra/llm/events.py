"""The reader of an answer's bytes: server-sent events, lines of JSON, or one JSON document.

Providers differ in what they send. The reader takes the parts that it knows and skips what it cannot read: the text's
own validation decides later whether the answer is good.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec

from infra.llm.usage import Usage, usage_of

MOST_TEXT = 64 * 1024
MOST_LOOSE = 512 * 1024
TEXTS = ("text", "output_text")
FIELDS = (b":", b"event:", b"id:", b"retry:")
LINE_END = re.compile(rb"\r\n|\n|\r")
BOM = b"\xef\xbb\xbf"
# some gateways begin each line with a byte order mark, or with the separator of RFC 7464
RECORD = b"\x1e"
MARKS = BOM + RECORD
FIRST_MARKS = (BOM[:1], RECORD)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
DEEPEST = 8
# signs that an event is a part of an answer
SIGNS = (b'"choices"', b'"delta"', b'"content"', b"chat.completion")
# signs of two documents, and of half a character
SEVERAL = re.compile(rb"\}\s*(?:data:|\{)|\\u[dD]")
# the most lines in a row without a document: each is tried together with the lines before it
MOST_UNREAD, MOST_EVENT = 500, 16 * 1024
BETWEEN = re.compile(r"\s*(?:data:\s*)*")
# endings in which the provider withholds the answer, and endings at the token limit; all other endings are good
FILTERED = {"content_filter", "content_filtered", "content_policy", "refusal", "safety", "sensitive", "image_safety"}
FILTERED |= {"prohibited_content", "blocklist", "spii", "recitation", "guardrail_intervened", "error_toxic", "blocked"}
TOO_LONG = {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "max_length"}
BROKEN = {"error", "abort", "aborted", "network_error", "insufficient_system_resource", "server_error"}


class _Delta(msgspec.Struct):
    content: Any = None
    refusal: Any = None
    parsed: Any = None
    tool_calls: Any = None
    function_call: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    thinking: Any = None
    reasoning_text: Any = None
    thought: Any = None


class _Choice(msgspec.Struct):
    index: Any = 0
    delta: _Delta | str | None = None
    message: _Delta | None = None
    text: Any = None
    finish_reason: Any = None
    usage: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None
    object: Any = None
    message: Any = None


_chunks = msgspec.json.Decoder(_Chunk)
_documents = msgspec.json.Decoder(_Chunk | list[_Chunk])


class Answer:
    """An answer while it arrives. `spoken` counts its parts, `pieces` those of its reasoning too.

    It is `damaged` if a part of it could not be read, so that words are missing.
    """

    def __init__(self) -> None:
        self.finish: str | None = None
        self.done = False
        self.error: Any = None
        self.refusal = ""
        self.pieces = 0
        self.spoken = 0
        self.characters = 0
        self.chunks = 0
        self.damaged = False
        self._unread = 0
        self._parts: list[str] = []
        self._arguments: dict[str, str] = {}
        self._spoke_in_deltas = False
        self._usage: Usage | None = None
        self._began = False
        self._rest = b""
        self._event = b""
        self._loose: list[bytes] = []
        self._loose_size = 0

    @property
    def text(self) -> str:
        """The text so far. If each part repeats the part before it, it is the last part.

        A model that answers by a call of a tool writes the text as the call's arguments.
        """
        repeats = len(self._parts) > 2 and all(after.startswith(before) for before, after in pairwise(self._parts))
        text = (self._parts[-1] if repeats else "".join(self._parts))[:MOST_TEXT]
        if self._arguments and not text.strip():
            text = "\n".join(self._arguments.values())[:MOST_TEXT]
        return _joined(text)

    @property
    def usage(self) -> Usage | None:
        """The token counts that came with the end or after it; None without such counts."""
        return self._usage if self.ended else None

    @property
    def ended(self) -> bool:
        """Whether the provider says that the answer is at its end."""
        return self.finish is not None or self.done

    @property
    def whole(self) -> bool:
        """Whether the answer is at its end: the provider says so, or the text ends like a JSON document."""
        return self.ended or self.text.rstrip("` \r\n\t").endswith(("}", "]"))

    @property
    def complete(self) -> bool:
        """Whether the text is one JSON document with nothing but blanks or a fence behind it."""
        text = self.text
        try:
            _, end = json.JSONDecoder(strict=False).raw_decode(text, max(0, text.find("{")))
        except (ValueError, RecursionError):
            return False
        return not text[end:].strip("` \r\n\t")

    def feed(self, data: bytes) -> bool:
        """Read bytes. Return whether they held a part of the answer, or its end."""
        if not self._began:
            self._began, data = True, data.removeprefix(BOM)
        data = self._rest + data
        # a CR at the end may be the first half of a line's end
        held = b"\r" if data.endswith(b"\r") else b""
        *lines, rest = data.split(b"\n") if b"\r" not in data else LINE_END.split(data[:-1] if held else data)
        self._rest = rest + held
        before = (self.pieces, self.ended)
        for line in lines:
            self._line(line)
        return (self.pieces, self.ended) != before

    def end(self) -> None:
        """Read the rest, at the end of the stream."""
        self.feed(b"\n\n")
        if self.chunks:
            return
        with contextlib.suppress(*UNREADABLE):
            document = _documents.decode(b"\n".join(self._loose))
            for chunk in document if isinstance(document, list) else [document]:
                self._take(chunk)
            self.done = self.chunks > 0

    def _line(self, line: bytes) -> None:
        if line[:1] in FIRST_MARKS:
            line = line.lstrip(MARKS)
        if not line:
            self._drop_event()
        elif line.startswith(b"data:"):
            data = line[5:].strip()
            while data.startswith(b"data:"):  # some proxies write the name twice
                data = data[5:].lstrip()
            self._data(data)
        elif not line.startswith(FIELDS):
            if line.lstrip().startswith(b"{"):
                self._decode(line)
            self._loose_size += len(line)
            if self._loose_size <= MOST_LOOSE:
                self._loose.append(line)

    def _data(self, data: bytes) -> None:
        """Read the data of a line. If it is no document, it may continue on the next lines of its event."""
        if data == b"[DONE]":
            self.done = True
        elif self._unread >= MOST_UNREAD:
            self.damaged = True
        elif data:
            if self._event and self._decode(self._event + data):
                self._event = b""
            elif self._decode(data):
                self._drop_event()
            else:
                self._unread += 1
                self._event = (self._event + data + b"\n")[-MOST_EVENT:]
                return
            self._unread = 0

    def _drop_event(self) -> None:
        """Forget an event that cannot be read. If it held a part of the text, the answer is damaged."""
        if self._event:
            signs = SIGNS if _is_broken(self._event) else (b'"content"',)
            self.damaged = self.damaged or any(sign in self._event for sign in signs)
            self._event = b""

    def _decode(self, document: bytes) -> bool:
        try:
            chunk = _chunks.decode(document)
        except UNREADABLE:
            chunks = _several(document) if SEVERAL.search(document) else []
            for chunk in chunks:
                self._take(chunk)
            return bool(chunks)
        self._take(chunk)
        return True

    def _take(self, chunk: _Chunk) -> None:
        usage = None
        if (chunk.object == "error" or (chunk.error is not None and _is_error(chunk.error))) and not self.ended:
            self.error = chunk.error or chunk.message or self.error
        if chunk.usage is not None or chunk.x_groq is not None:
            groq = chunk.x_groq if isinstance(chunk.x_groq, dict) else {}
            usage = usage_of(chunk.usage) or usage_of(groq.get("usage"))
        self.chunks += chunk.choices is not None or usage is not None or bool(self.error)
        pieces, whole = self.pieces, False
        for choice in chunk.choices or ():
            if choice.index in (0, None, "0"):
                usage = usage or usage_of(choice.usage)
                self._choice(choice)
                whole = whole or choice.message is not None
        if self.pieces > pieces and not whole and self.finish is None:
            self._usage = None  # a running count is no bill, and more text outdates an earlier count
        elif usage is not None and (self._usage is None or usage.completion_tokens >= self._usage.completion_tokens):
            self._usage = usage

    def _choice(self, choice: _Choice) -> None:
        part = _Delta(content=choice.delta) if isinstance(choice.delta, str) else choice.delta
        text = choice.text and _text(choice.text)
        if part is None and choice.message is not None and not self._spoke_in_deltas:
            part = choice.message
        else:
            self._spoke_in_deltas = self._spoke_in_deltas or bool(text or (part and part.content))
        if part is not None:
            if part.content:
                text = (text or "") + _text(part.content)
            elif part.parsed:
                text = (text or "") + _text(part.parsed)
            if part.tool_calls is not None or part.function_call is not None:
                self._call(part)
            if part.refusal is not None:
                self.refusal += _text(part.refusal)
            if thoughts := _thoughts(part):
                self.pieces += 1
                self.characters += len(_text(thoughts))
        if text:
            self._parts.append(text)
            self.spoken += 1
            self.pieces += 1
            self.characters += len(text)
        if isinstance(choice.finish_reason, str) and choice.finish_reason.lower() not in ("", "null", "none"):
            self.finish = choice.finish_reason.lower()

    def _call(self, part: _Delta) -> None:
        """Take the arguments of the calls of tools."""
        calls = part.tool_calls if isinstance(part.tool_calls, list) else []
        for call in [*calls, {"function": part.function_call}]:
            function = call.get("function") if isinstance(call, Mapping) else None
            arguments = _text(function.get("arguments")) if isinstance(function, Mapping) else ""
            if arguments:
                number = str(call.get("index") or 0)
                self._arguments[number] = self._arguments.get(number, "") + arguments
                self.spoken += 1
                self.pieces += 1
                self.characters += len(arguments)


def _several(document: bytes) -> list[_Chunk]:
    """Return the documents that stand in one line; none if a part is no document.

    Halves of a character, which msgspec refuses, are read.
    """
    found: list[_Chunk] = []
    try:
        text, at = document.decode().removesuffix("[DONE]"), 0
        while at < len(text):
            chunk, at = json.JSONDecoder().raw_decode(text, at)
            found.append(msgspec.convert(chunk, _Chunk))
            at = BETWEEN.match(text, at).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return []
    return found


def _is_broken(document: bytes) -> bool:
    """Return whether a document is no JSON, so that a part of it is lost."""
    try:
        json.loads(document)
    except (ValueError, RecursionError):
        return True
    return False


def _joined(text: str) -> str:
    """Return the text with the halves of a character joined; half a character is left out."""
    if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _is_error(error: Any) -> bool:
    """Return whether an `error` says something; some gateways send one with code 0 and no words."""
    return any(error.values()) if isinstance(error, Mapping) else bool(error)


def _thoughts(part: _Delta) -> Any:
    """Return the reasoning of a part, under any of the providers' names."""
    named = part.reasoning_content or part.reasoning or part.reasoning_details
    return named or part.thinking or part.reasoning_text or part.thought


def _text(content: Any, deepest: int = DEEPEST) -> str:
    """Return the text of a content: a text, an object with a text, or a list of such parts."""
    if isinstance(content, str):
        return content
    if not deepest:
        return ""
    if isinstance(content, list):
        return "".join(_text(part, deepest - 1) for part in content)
    if not isinstance(content, dict):
        return ""
    if "type" not in content and "text" not in content and "value" not in content:
        with contextlib.suppress(RecursionError):
            return json.dumps(content, ensure_ascii=False)  # the answer itself
        return ""
    text = content.get("text", content.get("value"))
    return _text(text, deepest - 1) if content.get("type", "text") in TEXTS else ""
