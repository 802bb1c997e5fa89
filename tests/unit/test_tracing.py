"""Traces and structured logs.

One trace per request across topics, ids in log lines, none without a collector.
"""

import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("opentelemetry.sdk")
from otlp_collector import Collector, collecting

from streams.runtime import logs, tracing
from streams.runtime.settings import Settings


def message(topic: str, headers: Any, key: bytes | None = None) -> Any:
    return SimpleNamespace(topic=topic, partition=3, offset=7, headers=headers, key=key)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one
        tracing.stop_tracing()


def test_a_request_is_one_trace_across_topics(collector: Collector) -> None:
    tracing.start_tracing(Settings(otlp_endpoint=collector.url), "lpstream-generation")
    request_id = uuid4()
    with tracing.record(message("lp.requests", None), request_id):
        sent = tracing.carried()
    with tracing.record(message("lp.steps", tuple(sent)), request_id):
        sent_on = tracing.carried()
    with tracing.record(message("lp.step-results", dict(sent_on)), request_id):
        pass
    tracing.stop_tracing()
    first, second, third = collector.spans
    assert [one.name for one in collector.spans] == [
        "process lp.requests",
        "process lp.steps",
        "process lp.step-results",
    ]
    assert {UUID(bytes=one.trace_id) for one in collector.spans} == {request_id}
    assert second.parent_span_id == first.span_id and third.parent_span_id == second.span_id


def test_a_producers_trace_is_continued(collector: Collector) -> None:
    tracing.start_tracing(Settings(otlp_endpoint=collector.url), "lpstream-generation")
    foreign_trace = "0af7651916cd43dd8448eb211c80319c"
    header = ("traceparent", f"00-{foreign_trace}-b7ad6b7169203331-01".encode())
    with tracing.record(message("lp.requests", [header]), uuid4()):
        assert tracing.ids()["trace_id"] == foreign_trace
    for wrong in (b"\xff\xfe", b"00-zz-1-01", b""):
        request_id = uuid4()
        with tracing.record(message("lp.requests", [("traceparent", wrong)]), request_id):
            assert tracing.ids()["trace_id"] == request_id.hex


def test_each_sent_request_has_a_span_that_its_record_continues(collector: Collector) -> None:
    tracing.start_tracing(Settings(otlp_endpoint=collector.url), "lpstream-edge")
    foreign_trace = "0af7651916cd43dd8448eb211c80319c"
    requests = [uuid4(), uuid4()]
    with tracing.sending("lp.requests", requests, None) as headers:
        pass
    with tracing.sending("lp.requests", requests[:1], f"00-{foreign_trace}-b7ad6b7169203331-01") as followed:
        pass
    with tracing.sending("lp.requests", requests[:1], "nonsense \u2028") as unbelieved:
        pass
    for request_id, carried, trace_id in zip(
        [*requests, requests[0], requests[0]],
        [*headers, *followed, *unbelieved],
        [*(one.hex for one in requests), foreign_trace, requests[0].hex],
        strict=True,
    ):
        with tracing.record(message("lp.requests", carried), request_id):
            assert tracing.ids()["trace_id"] == trace_id
    tracing.stop_tracing()
    sent, processed = collector.spans[:4], collector.spans[4:]
    assert {one.name for one in sent} == {"send lp.requests"}
    assert [one.parent_span_id for one in processed] == [one.span_id for one in sent]


def test_a_trace_share_of_zero_sends_no_spans(collector: Collector) -> None:
    tracing.start_tracing(Settings(otlp_endpoint=collector.url, trace_share=0.0), "lpstream-generation")
    with tracing.record(message("lp.requests", None), uuid4()):
        assert tracing.carried()[0][1].endswith(b"-00")
    tracing.stop_tracing()
    assert collector.spans == []


def test_without_a_collector_no_spans_are_made() -> None:
    tracing.start_tracing(Settings(), "lpstream-generation")
    with tracing.record(message("lp.requests", None), uuid4()):
        assert tracing.carried() == [] and tracing.ids() == {}
    with tracing.sending("lp.requests", [uuid4()], None) as headers:
        assert headers == [[]]


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    root.handlers = before
    root.setLevel(level)


def test_a_json_log_line_has_the_requests_ids(root_logger: logging.Logger, collector: Collector) -> None:
    settings = Settings(log_format="json", otlp_endpoint=collector.url)
    root_logger.handlers = []  # without pytest's handlers
    logs.log_to_stderr(settings, "generation")
    written = io.StringIO()
    handler = root_logger.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    tracing.start_tracing(settings, "lpstream-generation")
    request_id = uuid4()
    logs.begin_request(str(request_id).encode())
    with tracing.record(message("lp.requests", None), logs.request_uuid()):
        logging.getLogger("streams.generation.requests").warning('quote " and\nline')
    logs.begin_request(b"\x00\n{evil}")
    logging.getLogger("streams.generation.requests").warning("another")
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first["message"] == 'quote " and\nline'
    assert (first["level"], first["logger"], first["service"]) == (
        "WARNING",
        "streams.generation.requests",
        "generation",
    )
    assert (first["request_id"], first["trace_id"]) == (str(request_id), request_id.hex)
    assert len(first["span_id"]) == 16 and first["timestamp"]
    assert "request_id" not in second and "trace_id" not in second
