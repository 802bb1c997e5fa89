"""The parser of a language model's answers: it repairs the form and checks the content strictly."""

import re
from functools import cache
from itertools import islice
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.json_schema import models_json_schema

from processors.pages.facts import known
from processors.pages.language import wrong_language
from processors.pages.lint import forbidden
from processors.pages.promises import unkept
from processors.pages.reading import answered, objects
from processors.text import emphasised, plain, walk
from schemas.copywriting import CopyFields
from schemas.errors import DecodeError
from schemas.generation import Model, error_of
from schemas.sections import Emphasis, Headline, Section, of_group

LONGEST, LONGEST_TEXT, MOST_OBJECTS = 20_000, 1_000, 40
OTHER_NAMES = {
    "title": ("heading", "name", "label"),
    "text": ("description", "body", "detail", "content"),
    "question": ("q",),
    "answer": ("a",),
    "items": ("list", "points", "questions", "problems", "benefits"),
    "features": ("items", "points"),
    "steps": ("items", "flow"),
}


class Unusable(DecodeError):  # noqa: N818 - the name says what happened
    """An answer that a page cannot show as a whole. `usable` has the sections that it may show."""

    cause = "invalid"

    def __init__(self, field: str, detail: str, usable: dict[str, Any] | None = None) -> None:
        super().__init__(field, detail)
        self.usable = usable or {}


@cache
def json_schema(group: str) -> dict[str, Any]:
    """Return the JSON Schema of a group's answer: an object with one required property per section."""
    sections = of_group(group)
    _, definitions = models_json_schema([(section.holds, "validation") for section in sections])
    properties = {section.name: {"$ref": f"#/$defs/{section.holds.__name__}"} for section in sections}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": {name: _lean(definition) for name, definition in definitions["$defs"].items()},
    }


def _lean(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without generated titles and descriptions, which do not help a model."""
    fields = {
        name: {key: value for key, value in field.items() if key != "title"}
        for name, field in schema["properties"].items()
    }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def parse(fields: CopyFields, group: str, text: str) -> dict[str, Any]:
    """Return one group's answer as {section: values}, the form that `assemble` takes.

    Reasoning, fences, prose around the JSON, wrappers, broken JSON, other names of a field, a single object instead of
    a list and extra items are accepted. Of several objects, the last valid one counts. Raise Unusable with section
    and field if a text is missing, too short, too long, in another language or says what the page may not say.
    """
    sections = of_group(group)
    wrong = Unusable("", "is not JSON, or is cut off")
    text = answered(text)
    if len(text) > LONGEST:
        raise Unusable("", f"is longer than {LONGEST} characters")
    for number, document in enumerate(islice(objects(text, tuple(each.name for each in sections)), MOST_OBJECTS)):
        part, broken = _sections(sections, document)
        if broken is not None and number:
            continue
        reasons = refused(part, fields)
        usable = _without(part, reasons)
        if broken is not None:
            wrong = Unusable(broken.field, broken.detail, usable)
        elif reasons:
            raise Unusable(next(iter(reasons)), "; ".join(reasons.values()), usable)
        else:
            return part
    raise wrong


def _sections(sections: tuple[Section, ...], document: dict[str, Any]) -> tuple[dict[str, Any], DecodeError | None]:
    """Return the sections of a document that have the right form, and the first error of the others."""
    part, broken = {}, None
    for section in sections:
        try:
            part[section.name] = _section(section, document, len(sections))
        except DecodeError as error:
            broken = broken or error
    return part, broken


def _without(part: dict[str, Any], reasons: dict[str, str]) -> dict[str, Any]:
    """Return the sections that no reason names; a reason's path begins with its section."""
    named = {path.partition(".")[0] for path in reasons}
    return {name: values for name, values in part.items() if name not in named}


def refused(part: dict[str, Any], fields: CopyFields) -> dict[str, str]:
    """Return the reason, by path, for each text of the sections that the page may not publish."""
    texts = walk(part)
    reasons = {path: wrong for path, words in texts if (wrong := wrong_language(words)) is not None}
    facts = known(fields.given)
    # a model's button is used only where the page has a form
    promising = [(path, words) for path, words in texts if not path.endswith(".call")]
    if unkept("\n".join(words for _, words in promising), facts) is not None:
        for path, words in promising:
            if (promise := unkept(words, facts)) is not None:
                reasons.setdefault(path, f"「{promise}」：ページに載る事実にありません。")
    for at, found in forbidden([words for _, words in texts], fields).items():
        reasons.setdefault(texts[at][0], " ".join(finding.reason for finding in found))
    return reasons


def _section(section: Section, document: dict[str, Any], of: int) -> dict[str, Any]:
    """Return the values of a section. The only section of a document may stand there without its name."""
    raw = document.get(section.name, document if of == 1 else {})
    if isinstance(raw, dict) and isinstance(raw.get(section.name), dict):
        raw = raw[section.name]
    try:
        model = section.holds.model_validate(_fit_model(section.holds, raw))
    except ValidationError as error:
        cause = error_of(error)
        raise DecodeError(f"{section.name}.{cause.field}", cause.detail) from error
    return model.model_dump()


def _fit_model(model: type[Model], raw: Any) -> Any:
    fields = model.model_fields
    if isinstance(raw, list) and len(fields) == 1:
        raw = {next(iter(fields)): raw}
    if isinstance(raw, str) and set(fields) == {"title", "text"}:
        title, _, text = re.sub("[:：]", "：", raw, count=1).partition("：")
        raw = {"title": title, "text": text}
    if not isinstance(raw, dict):
        return raw
    return {name: _fit(info.annotation, info.metadata, _named(raw, name)) for name, info in fields.items()}


def _named(raw: dict[str, Any], name: str) -> Any:
    return next((raw[alias] for alias in (name, *OTHER_NAMES.get(name, ())) if alias in raw), None)


def _fit(kind: Any, metadata: list[Any], value: Any) -> Any:
    """Return the value in the form that the field expects, if possible. Validation comes later."""
    if get_origin(kind) is Annotated:
        kind, *metadata = get_args(kind)
    if get_origin(kind) is list:
        return _fit_list(get_args(kind)[0], metadata, value)
    if isinstance(kind, type) and issubclass(kind, Model):
        return _fit_model(kind, value)
    if kind is str and isinstance(value, dict):
        value = next((text for text in value.values() if isinstance(text, str)), None)
    return _fit_text(metadata, value) if isinstance(value, str) else value


def _fit_list(kind: Any, metadata: list[Any], value: Any) -> Any:
    values = value if isinstance(value, list) else [] if value is None else [value]
    most = next((info.max_length for info in metadata if hasattr(info, "max_length")), None)
    return [_fit(kind, [], item) for item in values[:most]]


def _fit_text(metadata: list[Any], text: str) -> str:
    if len(text) > LONGEST_TEXT:  # no field accepts such a text, so do not clean it
        return text
    marks = [mark for info in metadata for mark in (info, *getattr(info, "metadata", ()))]
    text = emphasised(text) if any(isinstance(mark, Emphasis) for mark in marks) else plain(text)
    return text.rstrip("。") if any(isinstance(mark, Headline) for mark in marks) else text
