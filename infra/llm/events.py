"""The reader of an answer's bytes: server-sent events, lines of JSON, or one JSON document.

Providers differ in what they send. The reader takes the parts that it knows and skips what it cannot read: the text's
own validation decides later whether the answer is good.
"""

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from infra.llm.chunks import Choice, Chunk, Delta, chunks_of, error_of
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
DEEPEST = 8
# signs that an event is a part of an answer
SIGNS = (b'"choices"', b'"delta"', b'"content"', b"chat.completion")
# the most lines in a row without a document: each is tried together with the lines before it
MOST_UNREAD, MOST_EVENT = 500, 16 * 1024
# endings in which the provider withholds the answer, and endings at the token limit; all other endings are good
FILTERED = {"content_filter", "content_filtered", "content_policy", "refusal", "safety", "sensitive", "image_safety"}
FILTERED |= {"prohibited_content", "blocklist", "spii", "recitation", "guardrail_intervened", "error_toxic", "blocked"}
FILTERED |= {"model_armor", "language", "image_prohibited_content", "image_recitation"}
# endings in which the model called a function that it does not have
CALL_FILTERED = {"function_call_filter", "malformed_function_call", "unexpected_tool_call"}
TOO_LONG = {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "max_length"}
BROKEN = {"error", "abort", "aborted", "network_error", "insufficient_system_resource", "server_error"}


class _Parts:
    """The parts of a text. If each part repeats the part before it, the text is the last part."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = self._new = 0
        self._repeat = True

    def add(self, text: str) -> None:
        """Add a part."""
        before = self._parts[-1] if self._parts else ""
        self._repeat = self._repeat and text.startswith(before)
        self._parts.append(text)
        self._size += len(text)
        # an equal part may as well be new text
        self._new += len(text) - len(before) if text != before else len(text)

    @property
    def _repeated(self) -> bool:
        return self._repeat and len(self._parts) > 2

    @property
    def size(self) -> int:
        """The number of characters that were received, without those that only repeat others."""
        return self._new if self._repeated else self._size

    @property
    def text(self) -> str:
        """The text so far."""
        return self._parts[-1] if self._repeated else "".join(self._parts)


class Answer:
    """An answer while it arrives. `spoken` counts its parts, `pieces` those of its reasoning too.

    It is `damaged` if a part of it could not be read, so that words are missing.
    """

    def __init__(self) -> None:
        self.finish: str | None = None
        self.done = False
        self.error: dict[str, Any] | None = None
        self.refusal = ""
        self.pieces = 0
        self.spoken = 0
        self.chunks = 0
        self.damaged = False
        self._unread = 0
        self._parts = _Parts()
        self._thoughts = _Parts()
        self._arguments: defaultdict[str, _Parts] = defaultdict(_Parts)
        self._spoke_in_deltas = False
        self._usage: Usage | None = None
        self._began = False
        self._rest = b""
        self._event = b""
        self._loose: list[bytes] = []
        self._loose_size = 0

    @property
    def text(self) -> str:
        """The text so far. A model that answers by a call of a tool writes it as the call's arguments."""
        text = self._parts.text[:MOST_TEXT]
        if self._arguments and not text.strip():
            text = "\n".join(arguments.text for arguments in self._arguments.values())[:MOST_TEXT]
        return _joined(text)

    @property
    def characters(self) -> int:
        """The number of characters that were received, those of reasoning too."""
        return sum(parts.size for parts in (self._parts, self._thoughts, *self._arguments.values()))

    @property
    def usage(self) -> Usage | None:
        """The token counts that came with the end or after it; None without such counts."""
        return self._usage if self.ended else None

    def ended_by(self, endings: set[str]) -> bool:
        """Return whether the answer ended for one of these reasons.

        Gemini gives two: `content_filter: SAFETY`.
        """
        return any(part.strip() in endings for part in (self.finish or "").split(":"))

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
        self._decode(b"\n".join(self._loose))
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
        """Take the chunks of a document. Return False if it cannot be read."""
        chunks = chunks_of(document)
        for chunk in chunks or ():
            self._take(chunk)
        return chunks is not None

    def _take(self, chunk: Chunk) -> None:
        usage = None
        # some services write the error behind the ending that it caused
        if (not self.ended or self.ended_by(BROKEN)) and (error := error_of(chunk)):
            self.error = error
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

    def _choice(self, choice: Choice) -> None:
        part = Delta(content=choice.delta) if isinstance(choice.delta, str) else choice.delta
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
                self._thoughts.add(_text(thoughts))
        if text:
            self._parts.add(text)
            self.spoken += 1
            self.pieces += 1
        if isinstance(choice.finish_reason, str) and choice.finish_reason.lower() not in ("", "null", "none"):
            self.finish = choice.finish_reason.lower()

    def _call(self, part: Delta) -> None:
        """Take the arguments of the calls of tools."""
        calls = part.tool_calls if isinstance(part.tool_calls, list) else []
        for call in [*calls, {"function": part.function_call}]:
            function = call.get("function") if isinstance(call, Mapping) else None
            arguments = _text(function.get("arguments")) if isinstance(function, Mapping) else ""
            if arguments:
                self._arguments[str(call.get("index") or 0)].add(arguments)
                self.spoken += 1
                self.pieces += 1


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


def _thoughts(part: Delta) -> Any:
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
