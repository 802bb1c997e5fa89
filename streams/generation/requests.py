"""The handler of requests: validate, look up copy, plan, fan out into steps."""

import asyncio
import hashlib
import json
import logging
import time
from functools import partial
from typing import Any

import msgspec

from processors.pages.brief import brief_of
from processors.pages.rewriting import ready_copy
from schemas.codec import decode_request, is_framed
from schemas.errors import DecodeError, Retryable
from schemas.generation import (
    RESULTS,
    STEPS,
    Failure,
    GenerationRequest,
    Model,
    Result,
    Status,
    Step,
    StepName,
    VariantRequest,
    decode_model,
    encode_model,
    step_id_of,
)
from schemas.plan import Made, Plan
from schemas.uploads import Uploads
from streams.generation.deadline import GIVE_UP_S, PUBLISH_S, asked_ms, until_deadline
from streams.generation.publish import publish_ready, send_result
from streams.generation.services import GenerationServices
from streams.pictures.parents import varied_from
from streams.pictures.uploads import uploads_of

log = logging.getLogger(__name__)


class Identified(msgspec.Struct):
    """The fields that an invalid request must still have, so that its rejection reaches the sender."""

    request_id: str
    tenant_id: str = ""


async def handle(services: GenerationServices, message: Any) -> None:
    """Handle one record of `lp.requests`; raise DecodeError if it is a dead letter.

    Returns when every effect is delivered.
    """
    started = time.monotonic()
    value = message.value or b""
    try:
        request = decode_request(value)
    except DecodeError as error:
        if (ids := identified(value)) is None:
            raise
        rejection = _rejection(ids, error)
        await _known(services, rejection, value)
        await send_result(services, rejection)
        return
    if (stored := await _known(services, request, value)) is not None:
        await services.send(RESULTS, str(request.request_id).encode(), stored)
        return
    services.progress(request.request_id, 5, "validate", keep_for=request.tenant_id)
    created_ms = asked_ms(message.timestamp)
    deadline_ms = created_ms + round(services.settings.lp_deadline_s * 1000)
    ids = Identified(str(request.request_id), request.tenant_id)
    try:
        work = await _work(services, request, deadline_ms)
    except DecodeError as error:
        await send_result(services, _rejection(ids, error))
        return
    except Retryable as error:
        await send_result(services, _without_page(ids, "failed", "page_store", f"the parent cannot be read: {error}"))
        return
    plan = Plan(**work, created_ms=created_ms, deadline_ms=deadline_ms, validate_ms=_ms_since(started))
    await _fan_out(services, plan)


async def _work(
    services: GenerationServices, request: GenerationRequest | VariantRequest, deadline_ms: int
) -> dict[str, Any]:
    """Return the request, the brief and the uploads of the plan, and the parent of a variant.

    Raise DecodeError with the field if the request cannot be carried out, and Retryable if S3 does not answer in time.
    """
    if isinstance(request, VariantRequest):
        read = partial(varied_from, services.objects, request)
        varied, brief, source = await until_deadline(read, deadline_ms, keep_s=GIVE_UP_S)
        made = Made.model_validate(source.model_dump(include=set(Made.model_fields)))
        return {"request": varied, "brief": brief, "uploads": source.uploads, "parent": made}
    uploads = await _uploads(services, request, deadline_ms)
    request = request.model_copy(update={"door": request.door or "api"})
    return {"request": request, "brief": brief_of(request), "uploads": uploads}


async def _uploads(services: GenerationServices, request: GenerationRequest, deadline_ms: int) -> Uploads:
    """Return the request's pictures; raise DecodeError if the tenant has no such upload.

    If S3 does not answer in time, the page is made without them, and its result says so.
    """
    read = partial(uploads_of, services.objects, request.tenant_id, request.assets)
    try:
        return await until_deadline(read, deadline_ms, keep_s=PUBLISH_S)
    except Retryable:
        return Uploads()


async def _known(
    services: GenerationServices, asked: GenerationRequest | VariantRequest | Result, value: bytes
) -> bytes | None:
    """Return the stored result of the request, or None. Raise DecodeError if another request has its id.

    `asked` is the request, or the rejection of an invalid one. A rejection leaves its id free.
    """
    rejection = asked if isinstance(asked, Result) else None
    digest = hashlib.sha256(value).hexdigest()
    of_fields = _digest_of_fields(asked) if rejection is None else ""
    try:
        first, stored = await services.results.begin(asked.request_id, digest, rejection, of_fields=of_fields)
    except Retryable as error:
        log.warning("request %s continues without a look-up of earlier results: %s", asked.request_id, error)
        return None
    # Releases may read a field differently, but the bytes stay. A restored result has no digest. A tenant must not get
    # another tenant's result.
    of_another = stored is not None and decode_model(Result, stored).tenant_id != asked.tenant_id
    if of_another or first.isdisjoint((digest, of_fields)):
        raise DecodeError("request_id", "was used for another request; give each request an id of its own")
    return stored


def _digest_of_fields(request: Model) -> str:
    """Return the digest of a request, which is the same in Avro and in each spelling of JSON."""
    fields = request.model_dump(mode="json", exclude={"door"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


async def _fan_out(services: GenerationServices, plan: Plan) -> None:
    """Send each step to its topic. If the copy is there already, publish the page instead."""
    request = plan.request
    started = time.monotonic()
    hit = await services.copywriter.lookup(plan.brief) if plan.parent is None else None
    layer = "miss" if hit is None else "stale" if hit.stale else hit.layer
    plan = plan.model_copy(update={"cache": layer, "cache_ms": _ms_since(started)})
    ready = ready_copy(plan) if hit is None else hit.cached.copy_
    if ready is not None:
        await publish_ready(services, plan, ready, () if hit is None else hit.cached.warnings)
        return
    key, sending = str(request.request_id).encode(), []
    for name in StepName:
        step = Step(
            request_id=request.request_id,
            step_id=step_id_of(request.request_id, name),
            step=name,
            deadline_ms=plan.deadline_ms,
            input={"plan": plan.model_dump(mode="json")},
        )
        sending.append(services.send(STEPS, key, encode_model(step)))
    await asyncio.gather(*sending)


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def identified(value: bytes) -> Identified | None:
    """Return the ids that an invalid request gives, or None if it gives none."""
    try:
        return None if is_framed(value) else msgspec.json.decode(value, type=Identified)
    except (ValueError, RecursionError):
        return None


def _rejection(ids: Identified, error: DecodeError) -> Result:
    """Return the `rejected` result of an invalid request; raise the DecodeError if its ids are invalid."""
    try:
        return _without_page(ids, "rejected", "invalid_request", error.detail, error.field or None)
    except ValueError as invalid_ids:
        raise error from invalid_ids


def _without_page(ids: Identified, status: Status, code: str, detail: str, field: str | None = None) -> Result:
    failure = Failure(code=code, field=field, detail=detail)
    fields = {"request_id": ids.request_id, "tenant_id": ids.tenant_id, "status": status, "error": failure}
    return Result.model_validate(fields)
