"""Random Japanese answers that fit the JSON Schema of a request."""

import json
import random
from collections.abc import Sequence
from typing import Any

WORDS = (
    "毎日の暮らしに、ていねいな時間をお届けします。",
    "はじめての方にも、順を追ってご案内します。",
    "ご希望を伺い、無理のない進め方をご一緒に考えます。",
    "落ち着いた空間で、ゆっくりとお過ごしいただけます。",
    "小さなことでも、お気軽にお尋ねください。",
    "仕上がりまで、担当が責任をもってお手伝いします。",
    "季節に合わせた内容を、その日の気分でお選びいただけます。",
    "準備から片付けまで、わかりやすくお伝えします。",
)
# words that only a draft has: a page with such a word is wrong
DRAFT_WORDS = tuple(words.replace("。", "、下書きです。") for words in WORDS)
DEPTH = 12


def schema_in(messages: list[dict[str, Any]], response_format: Any) -> dict[str, Any] | None:
    """Return the first schema in a message, else the response format's without lengths, else None."""
    decoder = json.JSONDecoder()
    for message in messages:
        text = str(message.get("content", ""))
        at = text.find("{")
        while at >= 0:
            try:
                value, _ = decoder.raw_decode(text, at)
            except ValueError:
                value = None
            if isinstance(value, dict) and ("properties" in value or "$defs" in value):
                return value
            at = text.find("{", at + 1)
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        schema: dict[str, Any] = response_format["json_schema"]["schema"]
        return schema
    return None


def answer(schema: dict[str, Any] | None, rng: random.Random, words: Sequence[str] = WORDS) -> str:
    """Return JSON text that fits the schema; without a schema, an object with a single text."""
    value = {"text": rng.choice(words)} if schema is None else _Writer(schema, rng, words).value(schema, 0)
    return json.dumps(value, ensure_ascii=False)


class _Writer:
    """The writer of random values that fit a schema."""

    def __init__(self, schema: dict[str, Any], rng: random.Random, words: Sequence[str]) -> None:
        self._schema = schema
        self._rng = rng
        self._words = words

    def value(self, part: dict[str, Any], depth: int) -> Any:
        """Return a value that fits a part of the schema."""
        if depth > DEPTH:
            return None
        if "$ref" in part:
            return self.value(self._schema["$defs"][part["$ref"].rpartition("/")[2]], depth + 1)
        if "enum" in part:
            return self._rng.choice(part["enum"])
        if "anyOf" in part:
            return self.value(part["anyOf"][0], depth + 1)
        kind = part.get("type")
        if kind == "object":
            return {name: self.value(inner, depth + 1) for name, inner in part.get("properties", {}).items()}
        if kind == "array":
            return self._list(part, depth)
        if kind in ("integer", "number"):
            return part.get("minimum", 1)
        return self._text(part.get("minLength", 1), part.get("maxLength", 40)) if kind == "string" else None

    def _list(self, part: dict[str, Any], depth: int) -> list[Any]:
        least = part.get("minItems", 1)
        most = min(part.get("maxItems", least + 1), least + 1)
        return [self.value(part["items"], depth + 1) for _ in range(self._rng.randint(least, most))]

    def _text(self, least: int, most: int) -> str:
        """Return sentences of at least `least` characters, cut to `most`."""
        text = self._rng.choice(self._words)
        while len(text) < least:
            text += self._rng.choice(self._words)
        return text if len(text) <= most else text.rstrip("。")[:most].rstrip("、")
