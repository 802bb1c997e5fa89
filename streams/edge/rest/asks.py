"""Generation requests: the check, and the sending with a span that its worker's spans follow."""

import contextlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from infra.redis.results import ResultStore
from infra.s3.objects import Objects
from schemas.errors import Retryable
from schemas.generation import REQUESTS, Assets, GenerationRequest, VariantRequest
from streams.edge.beacons.sender import Record, Sender, Sent
from streams.pictures.parents import varied_from
from streams.pictures.uploads import uploads_of
from streams.runtime import tracing

NO_ASSETS = Assets()


async def check_ask(objects: Objects, asked: GenerationRequest | VariantRequest) -> None:
    """Check that the page or the uploads that a request names can be used.

    Raise DecodeError with the field that cannot. While S3 does not answer, nothing is checked.
    """
    with contextlib.suppress(Retryable):  # the worker checks again
        if isinstance(asked, VariantRequest):
            await varied_from(objects, asked)
        elif asked.assets != NO_ASSETS:
            await uploads_of(objects, asked.tenant_id, asked.assets)


async def send_asks(
    sender: Sender, results: ResultStore, records: Sequence[Record], traceparent: str | None
) -> list[Sent]:
    """Send requests, partitioned by their ids, in the trace of the HTTP request or each in its own.

    Remove earlier rejections of their ids first. After the sending, a rejection may already be that of the new request.
    """
    request_ids = [UUID((record.place_by or b"").decode()) for record in records]
    with contextlib.suppress(Retryable):  # without Redis, a worker removes them
        await results.forget_rejections(request_ids)
    with tracing.sending(REQUESTS, request_ids, traceparent) as headers:
        traced = [msgspec.structs.replace(record, headers=own) for record, own in zip(records, headers, strict=True)]
        return await sender.send(REQUESTS, traced)
