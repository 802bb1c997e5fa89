"""The reader of an answer's bytes: server-sent events, lines of JSON, or one JSON document.

Providers differ in what they send. The reader takes the parts that it knows and skips what it cannot read: the text's
own validation decides later whether the answer is good.
"""

import contextlib
import re
from itertools import pairwise
from typing import Any

import msgspec

from infra.llm.usage import Usage, usage_of

MOST_TEXT = 64 * 1024
MOST_LOOSE = 512 * 1024
FIELDS = (b":", b"event:", b"id:", b"retry:")
LINE_END = re.compile(rb"\r\n|\n|\r")
BOM = b"\xef\xbb\xbf"
# endings in which the provider withholds the answer, and endings at the token limit; all other endings are good
FILTERED = {"content_filter", "content_filtered", "content_policy", "refusal", "safety", "sensitive", "image_safety"}
FILTERED |= {"prohibited_content", "blocklist", "spii", "recitation", "guardrail_intervened", "error_toxic", "blocked"}
TOO_LONG = {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "max_length"}
BROKEN = {"error", "abort", "aborted", "network_error", "insufficient_system_resource", "server_error"}


class _Delta(msgspec.Struct):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    thinking: Any = None
    reasoning_text: Any = None
    thought: Any = None


class _Choice(msgspec.Struct):
    index: Any = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    text: Any = None
    finish_reason: Any = None


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
    """An answer while it arrives. `spoken` counts its parts, `pieces` those of its reasoning too."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self.done = False
        self.error: Any = None
        self.refusal = ""
        self.pieces = 0
        self.spoken = 0
        self.characters = 0
        self.chunks = 0
        self._parts: list[str] = []
        self._usage: Usage | None = None
        self._began = False
        self._rest = b""
        self._event = b""
        self._loose: list[bytes] = []
        self._loose_size = 0

    @property
    def text(self) -> str:
        """The text so far. If each part repeats the part before it, it is the last part."""
        repeats = len(self._parts) > 2 and all(after.startswith(before) for before, after in pairwise(self._parts))
        return (self._parts[-1] if repeats else "".join(self._parts))[:MOST_TEXT]

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
        """Read what is left, at the end of the stream."""
        self.feed(b"\n\n")
        if self.chunks:
            return
        with contextlib.suppress(msgspec.MsgspecError):
            document = _documents.decode(b"\n".join(self._loose))
            for chunk in document if isinstance(document, list) else [document]:
                self._take(chunk)
            self.done = self.chunks > 0

    def _line(self, line: bytes) -> None:
        if not line:
            self._event = b""
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
        elif data and not (self._event and self._decode(self._event + data)) and not self._decode(data):
            self._event = (self._event + data + b"\n")[-MOST_TEXT:]

    def _decode(self, document: bytes) -> bool:
        try:
            chunk = _chunks.decode(document)
        except msgspec.MsgspecError:
            return False
        self._event = b""
        self._take(chunk)
        return True

    def _take(self, chunk: _Chunk) -> None:
        usage = None
        if chunk.error or chunk.object == "error":
            self.error = chunk.error or chunk.message or self.error
        if chunk.usage is not None or chunk.x_groq is not None:
            groq = chunk.x_groq if isinstance(chunk.x_groq, dict) else {}
            usage = usage_of(chunk.usage) or usage_of(groq.get("usage"))
        self.chunks += chunk.choices is not None or usage is not None or bool(self.error)
        pieces, whole = self.pieces, False
        for choice in chunk.choices or ():
            if choice.index == 0 or choice.index is None:
                self._choice(choice)
                whole = whole or choice.message is not None
        if self.pieces > pieces and not whole and self.finish is None:
            self._usage = None  # a running count is no bill, and more text outdates an earlier count
        elif usage is not None and (self._usage is None or usage.completion_tokens >= self._usage.completion_tokens):
            self._usage = usage

    def _choice(self, choice: _Choice) -> None:
        part, text = choice.delta, choice.text and _text(choice.text)
        if part is None and choice.message is not None and not self._parts:
            part = choice.message
        if part is not None:
            if part.content:
                text = (text or "") + _text(part.content)
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


def _thoughts(part: _Delta) -> Any:
    """Return the reasoning of a part, under any of the providers' names."""
    named = part.reasoning_content or part.reasoning or part.reasoning_details
    return named or part.thinking or part.reasoning_text or part.thought


def _text(content: Any) -> str:
    """Return the text of a content: a text, an object with a text, or a list of such parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text(part) for part in content)
    if isinstance(content, dict) and content.get("type", "text") in ("text", "output_text"):
        return _text(content.get("text"))
    return ""
