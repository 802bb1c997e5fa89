"""AsyncAPI and OpenAPI documents, made from the schemas and the edge's routes: `python -m streams.proof.documents`.

They are written to `docs/`; a test makes them again and compares.
"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from pydantic.json_schema import models_json_schema

from infra.kafka.topics import TopicSpec, load_topics
from schemas.generation import GenerationRequest, Progress, Result, Step, StepResult
from schemas.heatmap import DEVICES, Beacon
from streams.edge.http.connections import Listener
from streams.edge.server import PRIVATE, PUBLIC, Route

FOLDER = Path(__file__).parents[2] / "docs"
VERSION = "0.1.0"
Document = dict[str, Any]
REFERENCE = "#/components/schemas/{model}"
MODELS = (GenerationRequest, Step, StepResult, Result, Progress)
# what is on a topic, who writes it, who reads it
MESSAGES: dict[str, tuple[str, str]] = {
    "heatmap.events": (
        "Beacon",
        "Beacons of visitors' browsers: many events in columns. The edge writes every beacon as the JSON of its known "
        "fields, in whatever format it was posted, under its pageview's id. An empty record is a tick.",
    ),
    "lp.requests": (
        "GenerationRequest",
        "Requests for a page. The edge writes each as the JSON of its known fields, under its id.",
    ),
    "lp.steps": ("Step", "Steps of a request, which run in parallel."),
    "lp.step-results": ("StepResult", "What came of each step."),
    "lp.results": ("Result", "Results, compacted by request; the first one stored is told."),
    "lp.progress": ("Progress", "How far a request is."),
}
OWN_TOPICS = ("lp.steps", "lp.step-results")  # between the workers; nobody else writes or reads them
QUERY: dict[str, list[Document]] = {
    "/heatmaps/{lp_id}.{suffix}": [
        {"name": "kind", "schema": {"enum": ["click", "attention", "scroll"], "default": "click"}},
        {"name": "device", "schema": {"enum": list(DEVICES)}},
        {
            "name": "from",
            "schema": {"type": "string"},
            "description": "ISO 8601, or ms UTC; default: a day before `to`.",
        },
        {"name": "to", "schema": {"type": "string"}, "description": "The same; default: now."},
        {"name": "lang", "schema": {"enum": ["en", "ja"], "default": "en"}},
        {"name": "top", "schema": {"type": "number", "exclusiveMinimum": 0}, "description": "What 100 % stands for."},
    ]
}
FOR_PEOPLE = "/studio"  # pages and forms, which no program should hold on to
KAFKA_JSON = "application/vnd.kafka.json.v2+json"
STATUS_OF: dict[tuple[str, str], tuple[str, str, Document | None]] = {
    ("POST", "/e/heatmap.events"): ("204", "Acknowledged by the broker.", None),
    ("GET", "/lp/requests/{request_id}"): (
        "200",
        "The result; 202 while it is made.",
        {"$ref": "#/components/schemas/Result"},
    ),
    ("GET", "/lp/requests/{request_id}/events"): (
        "200",
        "Progress, as server-sent events.",
        {"$ref": "#/components/schemas/Progress"},
    ),
}


def schemas() -> Document:
    """Return the JSON Schemas of all messages, by name."""
    _, own = models_json_schema([(model, "validation") for model in MODELS], ref_template=REFERENCE)
    _, beacon = msgspec.json.schema_components([Beacon], ref_template="#/components/schemas/{name}")
    return dict(sorted({**own["$defs"], **beacon}.items()))


def asyncapi() -> Document:
    """Return the AsyncAPI document of the topics."""
    topics = {one.name: one for one in load_topics()}
    channels: Document = {_id(name): _channel(topics[name]) for name in MESSAGES}
    for name, topic in topics.items():
        if name.endswith(".dlq"):
            channels[_id(name)] = _dead_letters(topic)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "lpstream", "version": VERSION, "description": "Topics of lpstream, seen by its workers."},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": _operations(),
        "components": {
            "schemas": schemas(),
            "messages": {
                schema: {
                    "name": schema,
                    "contentType": "application/json",
                    "payload": {
                        "schemaFormat": "application/schema+json;version=draft-07",
                        "schema": {"$ref": f"#/components/schemas/{schema}"},
                    },
                    "headers": {
                        "type": "object",
                        "properties": {
                            "traceparent": {"type": "string", "description": "W3C trace context, when traces are made."}
                        },
                    },
                }
                for schema, _ in MESSAGES.values()
            },
        },
    }


def _id(topic: str) -> str:
    return re.sub(r"[.-](\w)", lambda found: found[1].upper(), topic)


def _binding(topic: TopicSpec) -> Document:
    return {"kafka": {"topic": topic.name, "partitions": topic.partitions, "bindingVersion": "0.5.0"}}


def _channel(topic: TopicSpec) -> Document:
    schema, about = MESSAGES[topic.name]
    return {
        "address": topic.name,
        "description": about,
        "messages": {schema: {"$ref": f"#/components/messages/{schema}"}},
        "bindings": _binding(topic),
    }


def _dead_letters(topic: TopicSpec) -> Document:
    names = ("error", "topic", "partition", "offset", "timestamp")
    headers = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": list(names)}
    message = {
        "name": "DeadLetter",
        "contentType": "application/octet-stream",
        "payload": {"description": "The record's bytes."},
        "headers": headers,
    }
    about = f"Records of {topic.name.removesuffix('.dlq')} that cannot be decoded: their bytes as they were."
    return {
        "address": topic.name,
        "description": about,
        "messages": {"DeadLetter": message},
        "bindings": _binding(topic),
    }


def _operations() -> Document:
    found: Document = {}
    for name, (schema, _) in MESSAGES.items():
        message = {"$ref": f"#/channels/{_id(name)}/messages/{schema}"}
        base = {"channel": {"$ref": f"#/channels/{_id(name)}"}, "messages": [message]}
        if name not in ("lp.results", "lp.progress"):
            found[f"receive{_id(name)[0].upper()}{_id(name)[1:]}"] = {"action": "receive", **base}
        if name in (*OWN_TOPICS, "lp.results", "lp.progress"):
            found[f"send{_id(name)[0].upper()}{_id(name)[1:]}"] = {"action": "send", **base}
    return found


def documented(listener: Listener) -> list[Route]:
    """Return the routes that programs use: all but the studio's."""
    routes = PUBLIC if listener == "public" else PRIVATE
    return [route for route in routes if not route.template.startswith(FOR_PEOPLE)]


def openapi(listener: Listener) -> Document:
    """Return the OpenAPI document of one listener's routes."""
    paths: Document = {}
    for route in documented(listener):
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    found: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": f"lpstream, {listener} listener",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas() | _shapes()},
    }
    if listener == "private":
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return found


def _shapes() -> Document:
    records = {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {"key": {}, "value": {}, "partition": {"type": "integer", "minimum": 0}},
        },
    }
    offset = {
        "type": "object",
        "properties": {
            "partition": {"type": ["integer", "null"]},
            "offset": {"type": ["integer", "null"]},
            "error_code": {"type": ["integer", "null"]},
            "error": {"type": ["string", "null"]},
        },
    }
    return {
        "Error": {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {"error_code": {"type": "integer"}, "message": {"type": "string"}},
        },
        "Records": {"type": "object", "required": ["records"], "properties": {"records": records}},
        "Offsets": {
            "type": "object",
            "required": ["offsets"],
            "properties": {"offsets": {"type": "array", "items": offset}},
        },
    }


def _operation(route: Route) -> Document:
    handler = route.handler.func if isinstance(route.handler, partial) else route.handler
    names = re.findall(r"\{(\w+)\}", route.template)
    found: Document = {
        "summary": " ".join((handler.__doc__ or "").split()),
        "operationId": f"{route.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', route.template).rstrip('_')}",
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
        + [{"in": "query", **one} for one in QUERY.get(route.template, [])],
        "responses": _responses(route),
    }
    if route.method == "POST":
        found["requestBody"] = _body(route)
    if route.roles:
        found["security"] = [{"token": []}]
        found["description"] = f"Needs a token of role {' or '.join(sorted(route.roles))}."
    return found


def _body(route: Route) -> Document:
    beacon = {"schema": {"$ref": "#/components/schemas/Beacon"}}
    if route.template == "/e/heatmap.events":
        return {"required": True, "content": {"text/plain": beacon, "application/json": beacon}}
    return {"required": True, "content": {KAFKA_JSON: {"schema": {"$ref": "#/components/schemas/Records"}}}}


def _responses(route: Route) -> Document:
    error = {
        "description": "An error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    status, about, schema = STATUS_OF.get((route.method, route.template), ("200", "Done.", None))
    if route.method == "POST" and status == "200":
        schema = {"$ref": "#/components/schemas/Offsets"}
    ok: Document = {"description": about}
    if schema is not None:
        ok["content"] = {
            "text/event-stream" if route.template.endswith("/events") else "application/json": {"schema": schema}
        }
    return {status: ok, "default": error}


def documents() -> dict[str, Document]:
    """Return all documents by file name."""
    return {
        "asyncapi.json": asyncapi(),
        "openapi-public.json": openapi("public"),
        "openapi-private.json": openapi("private"),
    }


def as_json(document: Document) -> str:
    """Return the text of a document's file."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file, document in documents().items():
        (FOLDER / file).write_text(as_json(document), encoding="utf-8")
