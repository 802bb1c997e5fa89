"""The text of an answer as a profile writes it: wrapped, in prose, with reasoning, or broken."""

import json
import re
from collections.abc import Callable

from streams.proof.provider.profiles import Profile

OTHER = '{"answer": "申し訳ありませんが、お答えできません。"}'


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), ensure_ascii=False, indent=2)


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _upper(value: object) -> object:
    if isinstance(value, dict):
        return {name.upper(): _upper(inner) for name, inner in value.items()}
    return [_upper(inner) for inner in value] if isinstance(value, list) else value


def _curly(text: str) -> str:
    """Return the text with an opening and a closing quote in turn; the simulator's words have no quotes."""
    parts = text.split('"')
    return parts[0] + "".join(("“" if at % 2 == 0 else "”") + part for at, part in enumerate(parts[1:]))


EDITS: dict[str, Callable[[str], str]] = {
    "fence": lambda text: f"```json\n{text}\n```",
    "trailing_commas": lambda text: re.sub(r'(["\]}])(\n\s*[\]}])', r"\1,\2", _pretty(text)),
    "line_comments": lambda text: re.sub(r",\n", ", // 次へ\n", _pretty(text)),
    "block_comment": lambda text: text.replace("{", "{ /* 見出し */ ", 1),
    "single_quotes": lambda text: repr(json.loads(text)),
    "no_last_brace": lambda text: text[:-1],
    "no_last_braces": lambda text: text[:-2],
    "sections_as_text": lambda text: _dumped({name: _dumped(value) for name, value in json.loads(text).items()}),
    "wrapped": lambda text: f'{{"result": {text}}}',
    "wrapped_twice": lambda text: f'{{"status": "ok", "response": {{"data": {text}}}}}',
    "in_list": lambda text: f"[{text}]",
    "section_a_line": lambda text: "\n".join(_dumped({name: value}) for name, value in json.loads(text).items()),
    "unquoted_names": lambda text: re.sub(r'"(\w+)":', r"\1:", text),
    "python_values": lambda text: text[:-1] + ", 'note': None, 'final': True}",
    "curly_quotes": _curly,
    "raw_newlines": lambda text: text.replace("。", "。\n"),
    "as_text": _dumped,
    "capital_names": lambda text: _dumped({name.capitalize(): value for name, value in json.loads(text).items()}),
    "upper_names": lambda text: _dumped(_upper(json.loads(text))),
    "labelled": lambda text: _dumped([{"name": name, "content": part} for name, part in json.loads(text).items()]),
    "wide_signs": lambda text: text.replace("{", "｛").replace("}", "｝").replace('": ', '"：').replace('", ', '"，'),
    "escapes": lambda text: json.dumps(json.loads(text)),
    "blanks": lambda text: text + "\n" * 200,
    "half": lambda text: text[: max(1, len(text) // 2)],
    "other": lambda _: OTHER,
}


def written(profile: Profile, text: str, draft: str) -> tuple[str, str]:
    """Return the reasoning and the text of an answer as the profile writes them, from two JSON texts."""
    for edit in profile.edits:
        text = EDITS[edit](text)
    before, after, thoughts = (
        part.replace("{draft}", draft) for part in (profile.before, profile.after, profile.thoughts)
    )
    return thoughts, before + text + after
