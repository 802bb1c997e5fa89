"""Requests become steps: validate, plan, fan out."""

import hashlib
import time
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.codec import decode_request, is_framed
from schemas.errors import DecodeError
from schemas.generation import (
    RESULTS,
    STEPS,
    Failure,
    GenerationRequest,
    Result,
    Step,
    StepName,
    encode_model,
    step_id_of,
)
from streams import metrics

if TYPE_CHECKING:
    from streams.generation import Clients


class Identified(msgspec.Struct):
    """What an invalid request must still tell for a rejection to reach its sender."""

    request_id: str
    tenant_id: str = ""


async def handle(clients: "Clients", message: Any) -> None:
    """One record of `lp.requests`. Returns when every effect is delivered; DecodeError: to the dead letters."""
    started = time.monotonic()
    value = message.value or b""
    try:
        request = decode_request(value)
    except DecodeError as error:
        await _reject(clients, value, error)
        return
    if (stored := await clients.results.get(request.request_id)) is not None:
        await clients.send(RESULTS, str(request.request_id).encode(), stored)
        return
    created_ms = int(message.timestamp * 1000)
    digest = hashlib.sha256(value).hexdigest()
    known = {
        "digest": digest,
        "created_ms": created_ms,
        "validate_ms": int((time.monotonic() - started) * 1000),
        "request": request.model_dump(mode="json"),
    }
    if (await clients.results.claim(request.request_id, known))["digest"] != digest:
        raise DecodeError("request_id", "was used for another request; give each request an id of its own")
    await clients.progress(request.tenant_id, request.request_id, 5, "validate")
    await _fan_out(clients, request, created_ms)


async def _fan_out(clients: "Clients", request: GenerationRequest, created_ms: int) -> None:
    deadline_ms = created_ms + int(clients.settings.lp_deadline_s * 1000)
    for name in StepName:
        step = Step(
            request_id=request.request_id,
            step_id=step_id_of(request.request_id, name),
            step=name,
            deadline_ms=deadline_ms,
            input={"request": request.model_dump(mode="json")},
        )
        await clients.send(STEPS, str(request.request_id).encode(), encode_model(step))


async def _reject(clients: "Clients", value: bytes, error: DecodeError) -> None:
    """A `rejected` result for a request that at least says who it is; DecodeError for anything else."""
    if is_framed(value):
        raise error
    try:
        who = msgspec.json.decode(value, type=Identified)
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
    stored = await clients.results.first(result)
    await clients.send(RESULTS, str(result.request_id).encode(), stored)
    await clients.progress(result.tenant_id, result.request_id, 100, "done")
    metrics.RESULTS.labels("rejected", "miss").inc()
