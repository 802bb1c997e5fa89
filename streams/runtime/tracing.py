"""Traces of generation requests over their topics, by OpenTelemetry; off unless LPSTREAM_OTLP_ENDPOINT is set.

A record's span is a child of the context in its `traceparent` header. A request that came without one has its own id
for its trace, so who knows a request's id finds its trace. The edge's span of a request's sending is a child of the
`traceparent` of the HTTP request in the same way. Beacons are not traced: a slice of thousands has no use for a span
each. Names and attributes: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/.
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
COLLECTOR_S = 2  # a collector that is away must not hold up a worker that stops
Headers = list[tuple[str, bytes]]


class Tracing:
    """What makes and sends spans of one process."""

    def __init__(self, settings: Settings, service: str, exporter: "SpanExporter | None" = None) -> None:
        """SettingError when the extra is not installed. `exporter` replaces the one to the endpoint."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise SettingError("LPSTREAM_OTLP_ENDPOINT: install the extra: pip install -e '.[tracing]'") from error
        sender = exporter or OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=COLLECTOR_S)
        self._share = settings.trace_share
        self._provider: TracerProvider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(sender))
        self._tracer = self._provider.get_tracer("lpstream")

    @contextmanager
    def record(self, message: Any, request_id: UUID | None) -> Iterator[None]:
        """The span of the work on one record of a topic; records sent inside carry its context on."""
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
    def sending(self, topic: str, request_ids: Sequence[UUID], told: str | None) -> Iterator[list[Headers]]:
        """A span for each request, until all are sent."""
        from opentelemetry import trace

        parent = _parent([(PARENT, told.encode("ascii", "replace"))]) if told else None
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
        """A context whose trace is the request's id; the same in every process and for a record that is told again."""
        if request_id is None:
            return None
        from opentelemetry import trace

        sampled = trace.TraceFlags.SAMPLED if (request_id.int & (2**64 - 1)) < self._share * 2**64 else 0
        span_id = int.from_bytes(hashlib.sha256(request_id.bytes).digest()[:8], "big") or 1
        context = trace.SpanContext(request_id.int, span_id, is_remote=True, trace_flags=trace.TraceFlags(sampled))
        return trace.set_span_in_context(trace.NonRecordingSpan(context))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _parent(headers: Any) -> "Context | None":
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    pairs = headers.items() if isinstance(headers, dict) else headers or ()
    told = next((value for name, value in pairs if name == PARENT), None)
    if not told:
        return None
    context = TraceContextTextMapPropagator().extract({PARENT: told.decode("ascii", "replace")})
    return context if trace.get_current_span(context).get_span_context().is_valid else None


_open: Tracing | None = None


def start_tracing(settings: Settings, service: str) -> None:
    """Make traces from now on, if the settings name a collector."""
    global _open
    if settings.otlp_endpoint is not None:
        _open = Tracing(settings, service)


def stop_tracing() -> None:
    """Send what is left and make no more."""
    global _open
    if _open is not None:
        _open.close()
        _open = None


@contextmanager
def record(message: Any, request_id: UUID | None) -> Iterator[None]:
    """The span of the work on one record, if traces are made."""
    if _open is None:
        yield
    else:
        with _open.record(message, request_id):
            yield


@contextmanager
def sending(topic: str, request_ids: Sequence[UUID], told: str | None) -> Iterator[list[Headers]]:
    """The spans of requests on their way to a topic, if traces are made; gives the headers of each one's record.

    `told` is the `traceparent` header that the requests came with.
    """
    if _open is None:
        yield [[] for _ in request_ids]
    else:
        with _open.sending(topic, request_ids, told) as headers:
            yield headers


def carried() -> Headers:
    """The headers that carry the present context to the next topic; none when no traces are made."""
    return [] if _open is None else _carried(None)


def _carried(context: "Context | None") -> Headers:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context)
    return [(name, value.encode()) for name, value in carrier.items()]


def ids() -> dict[str, str]:
    """`trace_id` and `span_id` of the present span, in hex; nothing when there is none."""
    if _open is None:
        return {}
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context.is_valid else {}
