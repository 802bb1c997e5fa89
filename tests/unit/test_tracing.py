"""Traces and structured logs: one trace a request over its topics, ids in each line, nothing when nobody listens."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams import logs, tracing
from streams.settings import Settings


def message(topic: str, headers: Any, key: bytes | None = None) -> Any:
    return SimpleNamespace(topic=topic, partition=3, offset=7, headers=headers, key=key)


class Collector(BaseHTTPRequestHandler):
    """An OTLP/HTTP collector: keeps the spans that it is sent."""

    spans: list[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        told = ExportTraceServiceRequest.FromString(body)
        self.spans += [span for one in told.resource_spans for scope in one.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.spans = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    tracing.stop_tracing()
    server.shutdown()


def test_a_request_is_one_trace_over_its_topics(collector: str) -> None:
    tracing.start_tracing(Settings(otlp_endpoint=collector), "lpstream-generation")
    request_id = uuid4()
    with tracing.record(message("lp.requests", None), request_id):
        sent = tracing.carried()
    with tracing.record(message("lp.steps", tuple(sent)), request_id):
        sent_on = tracing.carried()
    with tracing.record(message("lp.step-results", dict(sent_on)), request_id):
        pass
    tracing.stop_tracing()
    first, second, third = Collector.spans
    assert [one.name for one in Collector.spans] == [
        "process lp.requests",
        "process lp.steps",
        "process lp.step-results",
    ]
    assert {UUID(bytes=one.trace_id) for one in Collector.spans} == {request_id}
    assert second.parent_span_id == first.span_id and third.parent_span_id == second.span_id


def test_a_producers_own_trace_goes_on(collector: str) -> None:
    tracing.start_tracing(Settings(otlp_endpoint=collector), "lpstream-generation")
    theirs = "0af7651916cd43dd8448eb211c80319c"
    header = ("traceparent", f"00-{theirs}-b7ad6b7169203331-01".encode())
    with tracing.record(message("lp.requests", [header]), uuid4()):
        assert tracing.ids()["trace_id"] == theirs
    for wrong in (b"\xff\xfe", b"00-zz-1-01", b""):
        request_id = uuid4()
        with tracing.record(message("lp.requests", [("traceparent", wrong)]), request_id):
            assert tracing.ids()["trace_id"] == request_id.hex


def test_a_share_of_none_sends_none(collector: str) -> None:
    tracing.start_tracing(Settings(otlp_endpoint=collector, trace_share=0.0), "lpstream-generation")
    with tracing.record(message("lp.requests", None), uuid4()):
        assert tracing.carried()[0][1].endswith(b"-00")
    tracing.stop_tracing()
    assert Collector.spans == []


def test_without_a_collector_nothing_is_made() -> None:
    tracing.start_tracing(Settings(), "lpstream-generation")
    with tracing.record(message("lp.requests", None), uuid4()):
        assert tracing.carried() == [] and tracing.ids() == {}


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    root.handlers = before
    root.setLevel(level)


def test_a_line_is_an_object_with_the_requests_ids(root_logger: logging.Logger, collector: str) -> None:
    settings = Settings(log_format="json", otlp_endpoint=collector)
    root_logger.handlers = []  # pytest's own would be taken for ours
    logs.log_to_stderr(settings, "generation")
    written = io.StringIO()
    handler = root_logger.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    tracing.start_tracing(settings, "lpstream-generation")
    request_id = uuid4()
    logs.begin_request(str(request_id).encode())
    with tracing.record(message("lp.requests", None), logs.request_uuid()):
        logging.getLogger("streams.requests").warning('quote " and\nline')
    logs.begin_request(b"\x00\n{evil}")
    logging.getLogger("streams.requests").warning("another")
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first["message"] == 'quote " and\nline'
    assert (first["level"], first["logger"], first["service"]) == ("WARNING", "streams.requests", "generation")
    assert (first["request_id"], first["trace_id"]) == (str(request_id), request_id.hex)
    assert len(first["span_id"]) == 16 and first["timestamp"]
    assert "request_id" not in second and "trace_id" not in second
