"""The sending of generation requests to Kafka, each with a span that its worker's spans follow."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from schemas.generation import REQUESTS
from streams.edge.beacons.sender import Record, Sender, Sent
from streams.runtime import tracing


async def send_asks(sender: Sender, records: Sequence[Record], traceparent: str | None) -> list[Sent]:
    """Send requests, partitioned by their ids, in the trace of the HTTP request or each in its own."""
    request_ids = [UUID((record.place_by or b"").decode()) for record in records]
    with tracing.sending(REQUESTS, request_ids, traceparent) as headers:
        traced = [msgspec.structs.replace(record, headers=own) for record, own in zip(records, headers, strict=True)]
        return await sender.send(REQUESTS, traced)
