"""Random Japanese answers that fit the JSON Schema of a request."""

import json
import random
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
DEPTH = 12


def schema_in(messages: list[dict[str, Any]], response_format: Any) -> dict[str, Any] | None:
    """Return the response format's schema, else the first schema in a message, else None."""
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        schema: dict[str, Any] = response_format["json_schema"]["schema"]
        return schema
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
    return None


def answer(schema: dict[str, Any] | None, rng: random.Random) -> str:
    """Return JSON text that fits the schema; without a schema, an object with a single text."""
    value = {"text": rng.choice(WORDS)} if schema is None else _value(schema, schema, rng, 0)
    return json.dumps(value, ensure_ascii=False)


def _value(part: dict[str, Any], whole: dict[str, Any], rng: random.Random, depth: int) -> Any:
    if depth > DEPTH:
        return None
    if "$ref" in part:
        return _value(whole["$defs"][part["$ref"].rpartition("/")[2]], whole, rng, depth + 1)
    if "enum" in part:
        return rng.choice(part["enum"])
    if "anyOf" in part:
        return _value(part["anyOf"][0], whole, rng, depth + 1)
    kind = part.get("type")
    if kind == "object":
        return {name: _value(inner, whole, rng, depth + 1) for name, inner in part.get("properties", {}).items()}
    if kind == "array":
        return _list(part, whole, rng, depth)
    if kind in ("integer", "number"):
        return part.get("minimum", 1)
    return _text(part.get("minLength", 1), part.get("maxLength", 40), rng) if kind == "string" else None


def _list(part: dict[str, Any], whole: dict[str, Any], rng: random.Random, depth: int) -> list[Any]:
    least = part.get("minItems", 1)
    most = min(part.get("maxItems", least + 1), least + 1)
    return [_value(part["items"], whole, rng, depth + 1) for _ in range(rng.randint(least, most))]


def _text(least: int, most: int, rng: random.Random) -> str:
    """Return sentences of at least `least` characters, cut to `most`."""
    text = rng.choice(WORDS)
    while len(text) < least:
        text += rng.choice(WORDS)
    return text if len(text) <= most else text.rstrip("。")[:most].rstrip("、")
