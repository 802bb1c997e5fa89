"""Requests become steps: validate, look for copy, plan, fan out."""

import asyncio
import hashlib
import logging
import time
from typing import Any

import msgspec

from schemas.codec import decode_request, is_framed
from schemas.errors import DecodeError, Retryable
from schemas.generation import (
    RESULTS,
    STEP_RESULTS,
    STEPS,
    Failure,
    GenerationRequest,
    Plan,
    Result,
    Step,
    StepName,
    decode_model,
    encode_model,
    step_id_of,
)
from streams.generation.services import GenerationServices
from streams.generation.steps import step_result
from streams.runtime import metrics

log = logging.getLogger(__name__)


class Identified(msgspec.Struct):
    """What an invalid request must still tell for a rejection to reach its sender."""

    request_id: str
    tenant_id: str = ""


async def handle(services: GenerationServices, message: Any) -> None:
    """One record of `lp.requests`. Returns when every effect is delivered; DecodeError: to the dead letters."""
    started = time.monotonic()
    value = message.value or b""
    try:
        request = decode_request(value)
    except DecodeError as error:
        await _reject(services, value, error)
        return
    if (stored := await _known(services, request, value)) is not None:
        await services.send(RESULTS, str(request.request_id).encode(), stored)
        return
    services.progress(request.request_id, 5, "validate", keep_for=request.tenant_id)
    created_ms = int(message.timestamp * 1000)
    plan = Plan(
        request=request,
        created_ms=created_ms,
        deadline_ms=created_ms + round(services.settings.lp_deadline_s * 1000),
        validate_ms=_ms_since(started),
    )
    await _fan_out(services, plan)


async def _known(services: GenerationServices, request: GenerationRequest, value: bytes) -> bytes | None:
    """The stored result of a request that was answered before; DecodeError when its id is another request's."""
    digest = hashlib.sha256(value).hexdigest()
    try:
        kept, stored = await services.results.begin(request.request_id, digest)
    except Retryable as error:
        log.warning("request %s goes on without: %s", request.request_id, error)
        return None
    # the digest is kept for an hour, the result for longer: no tenant is told of another's
    if kept != digest or (stored is not None and decode_model(Result, stored).tenant_id != request.tenant_id):
        raise DecodeError("request_id", "was used for another request; give each request an id of its own")
    return stored


async def _fan_out(services: GenerationServices, plan: Plan) -> None:
    """Each step goes on the topic. Where there is copy already its result goes out at once, in the step's place."""
    request = plan.request
    key = str(request.request_id).encode()
    started = time.monotonic()
    found = await services.copywriter.lookup(request)
    layer = "miss" if found is None else "stale" if found.stale else found.layer
    plan = plan.model_copy(update={"cache": layer, "cache_ms": _ms_since(started)})
    sending = []
    for name in StepName:
        if name is StepName.COPY and found is not None:
            output = {"copy": found.cached.copy_.model_dump(mode="json"), "warnings": _dumped(found.cached.warnings)}
            sending.append(services.send(STEP_RESULTS, key, step_result(plan, name, "ok", output)))
        else:
            step = Step(
                request_id=request.request_id,
                step_id=step_id_of(request.request_id, name),
                step=name,
                deadline_ms=plan.deadline_ms,
                input={"plan": plan.model_dump(mode="json")},
            )
            sending.append(services.send(STEPS, key, encode_model(step)))
    await asyncio.gather(*sending)


def _dumped(warnings: Any) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json") for one in warnings]


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def identified(value: bytes) -> Identified | None:
    """Who an invalid request says it is; None where it does not."""
    try:
        return None if is_framed(value) else msgspec.json.decode(value, type=Identified)
    except (ValueError, RecursionError):
        return None


async def _reject(services: GenerationServices, value: bytes, error: DecodeError) -> None:
    """A `rejected` result for a request that at least says who it is; DecodeError for anything else."""
    who = identified(value)
    if who is None:
        raise error
    try:
        result = Result.model_validate(
            {
                "request_id": who.request_id,
                "tenant_id": who.tenant_id,
                "status": "rejected",
                "error": Failure(code="invalid_request", field=error.field or None, detail=error.detail),
            }
        )
    except ValueError as no_identity:
        raise error from no_identity
    stored = await services.results.first(result)
    await services.send(RESULTS, str(result.request_id).encode(), stored)
    services.progress(result.request_id, 100, "done")
    metrics.RESULTS.labels("rejected", "miss").inc()
