"""Generation requests on their way to Kafka, each with a span that those of its worker follow."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from schemas.generation import REQUESTS
from streams.edge.beacons.sender import Record, Sender, Sent
from streams.runtime import tracing


async def send_asks(sender: Sender, records: Sequence[Record], traceparent: str | None) -> list[Sent]:
    """Send requests, placed by their ids, each in the trace of the HTTP request or in one of its own."""
    request_ids = [UUID((one.place_by or b"").decode()) for one in records]
    with tracing.sending(REQUESTS, request_ids, traceparent) as headers:
        told = [msgspec.structs.replace(one, headers=own) for one, own in zip(records, headers, strict=True)]
        return await sender.send(REQUESTS, told)
