"""OpenTelemetry traces of generation requests across topics, if LPSTREAM_OTLP_ENDPOINT is set.

A record's span is a child of the context in its `traceparent` header. Without that header the request's id is the
trace id, so that the trace can be found by the request's id. In the same way the edge's span for sending a request is
a child of the `traceparent` of the HTTP request. Beacons are not traced: one span for each of thousands in a slice has
no use. Names and attributes: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from schemas.errors import SettingError
from streams.runtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

PARENT = "traceparent"
COLLECTOR_S = 2  # an unavailable collector must not delay the end of a worker
Headers = list[tuple[str, bytes]]


class Tracing:
    """The creator and sender of one process's spans."""

    def __init__(self, settings: Settings, service: str, exporter: "SpanExporter | None" = None) -> None:
        """Open the exporter. Raise SettingError if the extra is not installed.

        `exporter` replaces the exporter to the endpoint.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise SettingError(
                "LPSTREAM_OTLP_ENDPOINT: OpenTelemetry is missing; install it with pip install -e '.[tracing]'"
            ) from error
        sender = exporter or OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=COLLECTOR_S)
        self._share = settings.trace_share
        self._provider: TracerProvider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(sender))
        self._tracer = self._provider.get_tracer("lpstream")

    @contextmanager
    def record(self, message: Any, request_id: UUID | None) -> Iterator[None]:
        """Trace the work on one record of a topic. Records that are sent inside carry its context."""
        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": message.topic,
            "messaging.destination.partition.id": str(message.partition),
            "messaging.kafka.offset": message.offset,
            "lpstream.request_id": str(request_id),
        }
        parent = _parent(message.headers) or self._origin(request_id)
        with self._tracer.start_as_current_span(f"process {message.topic}", context=parent, attributes=attributes):
            yield

    @contextmanager
    def sending(self, topic: str, request_ids: Sequence[UUID], traceparent: str | None) -> Iterator[list[Headers]]:
        """Trace each request until all are sent. `traceparent` is the header of the HTTP request."""
        from opentelemetry import trace

        parent = _parent([(PARENT, traceparent.encode("ascii", "replace"))]) if traceparent else None
        spans = [
            self._tracer.start_span(
                f"send {topic}",
                context=parent or self._origin(request_id),
                kind=trace.SpanKind.PRODUCER,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": topic,
                    "lpstream.request_id": str(request_id),
                },
            )
            for request_id in request_ids
        ]
        try:
            yield [_carried(trace.set_span_in_context(span)) for span in spans]
        finally:
            for span in spans:
                span.end()

    def _origin(self, request_id: UUID | None) -> "Context | None":
        """Return a context with the request's id as trace id, equal in every process and on redelivery."""
        if request_id is None:
            return None
        from opentelemetry import trace

        sampled = trace.TraceFlags.SAMPLED if (request_id.int & (2**64 - 1)) < self._share * 2**64 else 0
        span_id = int.from_bytes(hashlib.sha256(request_id.bytes).digest()[:8], "big") or 1
        context = trace.SpanContext(request_id.int, span_id, is_remote=True, trace_flags=trace.TraceFlags(sampled))
        return trace.set_span_in_context(trace.NonRecordingSpan(context))

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()


def _parent(headers: Any) -> "Context | None":
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    pairs = headers.items() if isinstance(headers, dict) else headers or ()
    traceparent = next((value for name, value in pairs if name == PARENT), None)
    if not traceparent:
        return None
    context = TraceContextTextMapPropagator().extract({PARENT: traceparent.decode("ascii", "replace")})
    return context if trace.get_current_span(context).get_span_context().is_valid else None


_open: Tracing | None = None


def start_tracing(settings: Settings, service: str) -> None:
    """Start tracing, if the settings name a collector."""
    global _open
    if settings.otlp_endpoint is not None:
        _open = Tracing(settings, service)


def stop_tracing() -> None:
    """Send the remaining spans and stop tracing."""
    global _open
    if _open is not None:
        _open.close()
        _open = None


@contextmanager
def record(message: Any, request_id: UUID | None) -> Iterator[None]:
    """Trace the work on one record, if tracing is on."""
    if _open is None:
        yield
    else:
        with _open.record(message, request_id):
            yield


@contextmanager
def sending(topic: str, request_ids: Sequence[UUID], traceparent: str | None) -> Iterator[list[Headers]]:
    """Trace the sending of requests to a topic, if tracing is on. Yield the headers of each record.

    `traceparent` is the header of the HTTP request that brought the requests.
    """
    if _open is None:
        yield [[] for _ in request_ids]
    else:
        with _open.sending(topic, request_ids, traceparent) as headers:
            yield headers


def carried() -> Headers:
    """Return the headers that carry the current context to the next topic, empty if tracing is off."""
    return [] if _open is None else _carried(None)


def _carried(context: "Context | None") -> Headers:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context)
    return [(name, value.encode()) for name, value in carrier.items()]


def ids() -> dict[str, str]:
    """Return `trace_id` and `span_id` of the current span in hex, empty if there is none."""
    if _open is None:
        return {}
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context.is_valid else {}
