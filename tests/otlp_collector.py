"""An OTLP/HTTP collector that keeps the spans it receives."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Collector:
    """The collector's URL, spans and service names."""

    url: str
    spans: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    collector: Collector


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        export = ExportTraceServiceRequest.FromString(
            gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        )
        collector = cast(_Server, self.server).collector
        for resource_spans in export.resource_spans:
            collector.spans.extend(span for scope in resource_spans.scope_spans for span in scope.spans)
            attributes = resource_spans.resource.attributes
            collector.services.update(pair.value.string_value for pair in attributes if pair.key == "service.name")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector while the block runs."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.collector = Collector(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.collector
        finally:
            server.shutdown()
