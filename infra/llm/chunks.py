"""The chunks of a model's answer, as JSON documents, and the errors in them."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# signs of documents that only Python's reader reads: two in a line, half a character, numbers out of range
LOOSE = re.compile(rb"\}\s*(?:data:|\{)|\\u[dD]|NaN|Infinity|\d[eE]\+?\d{3}")
BETWEEN = re.compile(r"\s*(?:data:\s*)*")
# MiniMax's codes of errors: https://platform.minimax.io/docs/api-reference/errorcode
MINIMAX = {
    **dict.fromkeys(("1026", "1027"), "content_filter"),
    **dict.fromkeys(("1002", "1039", "1041", "2045", "2056"), "rate_limit"),
    **dict.fromkeys(("1004", "2049"), "authentication_error"),
    **dict.fromkeys(("1042", "2013"), "invalid_request"),
    "1008": "insufficient_balance",
}
ABOUT_ERROR = ("type", "code", "status", "status_code", "http_code", "param", "message", "detail")


class Delta(msgspec.Struct):
    """A part of an answer, with the names of several providers."""

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


class Choice(msgspec.Struct):
    """One of the answers; the worker asks for one."""

    index: Any = 0
    delta: Delta | str | None = None
    message: Delta | None = None
    text: Any = None
    finish_reason: Any = None
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct):
    """A document of a stream. An error may stand beside the choices or instead of them."""

    choices: list[Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None
    base_resp: Any = None
    object: Any = None
    type: Any = None
    code: Any = None
    status: Any = None
    status_code: Any = None
    http_code: Any = None
    param: Any = None
    message: Any = None
    detail: Any = None


_strict = msgspec.json.Decoder(Chunk | list[Chunk])


def chunks_of(document: bytes) -> list[Chunk] | None:
    """Return the chunks of a document: one, or those of a list. Return None if it cannot be read."""
    try:
        found = _strict.decode(document)
    except UNREADABLE:
        return _loose(document) if LOOSE.search(document) else None
    return found if isinstance(found, list) else [found]


def _loose(document: bytes) -> list[Chunk] | None:
    """Return the chunks of a line that msgspec refuses; None if a part is no document.

    It reads several documents, halves of a character, NaN and Infinity.
    """
    found: list[Chunk] = []
    try:
        text = document.decode().removesuffix("[DONE]")
        at = BETWEEN.match(text).end()  # type: ignore[union-attr]
        while at < len(text):
            value, at = json.JSONDecoder().raw_decode(text, at)
            chunks = msgspec.convert(value, Chunk | list[Chunk])
            found += chunks if isinstance(chunks, list) else [chunks]
            at = BETWEEN.match(text, at).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return found


def error_of(chunk: Chunk) -> dict[str, Any]:
    """Return the error of a chunk with all that says something about it; nothing without an error."""
    for error in (chunk.error, *[choice.error for choice in chunk.choices or ()]):
        first = error[0] if isinstance(error, list) and error else error
        # some gateways send an error with code 0 and without words
        if isinstance(first, Mapping) and any(first.values()):
            return _about(chunk) | {str(name): value for name, value in first.items() if value is not None}
        if first and not isinstance(first, Mapping):
            return _about(chunk) | {"message": first}
    base = chunk.base_resp if isinstance(chunk.base_resp, Mapping) else {}
    if (code := base.get("status_code")) not in (None, 0, "0", ""):
        return {"code": code, "type": MINIMAX.get(str(code), ""), "message": base.get("status_msg")}
    return _about(chunk) if "error" in (chunk.object, chunk.type) else {}


def _about(chunk: Chunk) -> dict[str, Any]:
    return {name: value for name in ABOUT_ERROR if (value := getattr(chunk, name)) is not None}
