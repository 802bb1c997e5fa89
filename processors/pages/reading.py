"""The JSON objects in a model's answer: without reasoning, prose and wrappers, mended if broken.

Mending closes brackets and replaces quotes. It never guesses words: each text of a mended object stands in the answer
as a whole, between two quotes.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import json_repair

# marks of reasoning within an answer, by the model families that write them
OPEN = re.compile(
    r"<(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad)>|\[THINK\]|◁think▷"
    r"|<\|START_THINKING\|>|<\|channel\|>\s*(?:analysis|commentary)[^<]*<\|message\|>",
    re.IGNORECASE,
)
CLOSE = re.compile(
    r"</(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad)>|\[/THINK\]|◁/think▷"
    r"|<\|END_THINKING\|>|<\|channel\|>\s*final[^<]*<\|message\|>",
    re.IGNORECASE,
)
BEGINNINGS = ("<", "[T", "[t", "◁")
START = re.compile(r"""\{\s*(?:["'“”‘’`}]|[A-Za-z_]\w*\s*:|//|/\*|#)""")
# names of the field that says which section an object is, and of the field with its texts
LABELS, CONTENTS = ("name", "section", "type", "id", "key"), ("content", "data", "value", "copy", "fields", "body")
WIDE = re.compile('[｛｝＂]|["\\]}]\\s*[：，［］]')
WIDE_SIGNS = (
    (re.compile(r'(?<=")\s*：\s*'), ": "),
    (re.compile(r'(?<=["\]}0-9])\s*，\s*(?=["\[{])'), ", "),
    (re.compile(r'［(?=\s*["{])'), "["),
    (re.compile(r'(?<=["}])(\s*)］'), r"\1]"),
)
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"))
MOST_STARTS, MOST_DEPTH, DEEPEST = 60, 4, 12
# json-repair takes seconds for thousands of brackets or quotes that nothing closes
LONGEST, MOST_BRACKETS, MOST_QUOTES = 10_000, 120, 800


def answered(text: str) -> str:
    """Return the text without the model's reasoning. If reasoning has no end, all of it is reasoning."""
    if not any(begin in text for begin in BEGINNINGS):
        return text
    if (last := list(CLOSE.finditer(text))) and text[last[-1].end() :].strip():
        return OPEN.split(text[last[-1].end() :])[0]
    return OPEN.split(text)[0]


def objects(text: str, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a text without reasoning that may hold the sections `names`, the best first.

    These are the objects as written, the last first; their sections together; and then the same of the mended text.
    """
    text = text.replace('\\"', '"') if text.lstrip().startswith('{\\"') else text
    readers: list[tuple[Callable[[str], list[Any]], str]] = [(_written, text), (_mended, text)]
    if (narrow := _narrowed(text)) != text:
        readers[1:1] = [(_written, narrow)]
    for read, written in readers:
        documents = read(written)
        unwrapped = [inner for document in documents for inner in _unwrapped(document, names, MOST_DEPTH)]
        if sections := _labelled(_lowered(documents), names):
            unwrapped.append(sections)
        yield from reversed(unwrapped)
        parts: dict[str, Any] = {}
        for document in unwrapped:
            parts |= {name: document[name] for name in names if name in document}
        if len(unwrapped) > 1 and parts.keys() == set(names):
            yield parts


def _narrowed(text: str) -> str:
    """Return the text with plain signs for full-width ones between JSON texts: ｛"a"：1，"b"：2｝."""
    if WIDE.search(text) is None:
        return text
    text = text.replace("＂", '"').replace("｛", "{").replace("｝", "}")
    for wide, narrow in WIDE_SIGNS:
        text = wide.sub(narrow, text)
    return text


def _written(text: str) -> list[Any]:
    """Return the JSON objects that stand in the text, outermost only."""
    decoder, found, at = json.JSONDecoder(strict=False), [], 0
    for _ in range(MOST_STARTS):
        if (start := START.search(text, at)) is None:
            break
        try:
            document, at = decoder.raw_decode(text, start.start())
            found.append(document)
        except (ValueError, RecursionError):
            at = start.start() + 1
    if not found and text.strip().startswith('"'):  # the whole answer as a JSON text
        found = [_loaded(text.strip())]
    return found


def _mended(text: str) -> list[Any]:
    """Return the objects of the text from its first bracket, mended; none if a text of them was guessed."""
    start = START.search(text)
    text = text[start.start() :] if start is not None else ""
    brackets, quotes = text.count("{") + text.count("["), text.count('"') + text.count("'")
    if not text or len(text) > LONGEST or brackets > MOST_BRACKETS or quotes > MOST_QUOTES:
        return []
    try:
        mended = json_repair.loads(text, skip_json_loads=True)
    except (ValueError, RecursionError):
        return []
    found = mended if isinstance(mended, list) else [mended]
    return [document for document in found if _verbatim(document, text)]


def _verbatim(value: Any, text: str) -> bool:
    """Return whether each text in a value stands in `text` between two quotes."""
    if isinstance(value, dict):
        return all(_verbatim(inner, text) for inner in value.values())
    if isinstance(value, list):
        return all(_verbatim(inner, text) for inner in value)
    if not isinstance(value, str):
        return True
    spellings = {value, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]}
    return any(f"{begin}{each}{end}" in text for each in spellings for begin, end in QUOTES)


def _unwrapped(document: Any, names: tuple[str, ...], depth: int) -> Iterator[dict[str, Any]]:
    """Yield the objects within wrappers: a list, a JSON text, or an object with other names."""
    if isinstance(document, str):
        document = _loaded(document)
    if isinstance(document, list) and depth:
        for inner in document:
            yield from _unwrapped(inner, names, depth - 1)
        if sections := _labelled(_lowered(document), names):
            yield sections
    if not isinstance(document, dict):
        return
    document = _lowered(document)
    if depth and not any(name in document for name in names):
        for inner in document.values():
            yield from _unwrapped(inner, names, depth - 1)
    yield {name: _loaded(inner) if isinstance(inner, str) else inner for name, inner in document.items()}


def _lowered(value: Any, deepest: int = DEEPEST) -> Any:
    """Return the value with all names in lower case and without blanks around them."""
    if isinstance(value, dict) and deepest:
        return {str(name).strip().lower(): _lowered(inner, deepest - 1) for name, inner in value.items()}
    return [_lowered(inner, deepest - 1) for inner in value] if isinstance(value, list) and deepest else value


def _labelled(documents: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the sections of a list whose objects name them: {"name": "hero", "content": …}."""
    sections: dict[str, Any] = {}
    for document in documents:
        if not isinstance(document, dict):
            continue
        label = next((key for key in LABELS if str(document.get(key)).strip().lower() in names), None)
        if label is not None:
            rest = {key: value for key, value in document.items() if key != label}
            inner = next((rest[key] for key in CONTENTS if isinstance(rest.get(key), (dict, list))), rest)
            sections[str(document[label]).strip().lower()] = inner
    return sections


def _loaded(text: str) -> Any:
    """Return the object or list that a text holds as JSON; the text itself if it is no JSON."""
    if not text.strip().startswith(("{", "[", '"')):
        return text
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return text
