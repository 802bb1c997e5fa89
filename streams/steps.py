"""The parallel steps: template, copy, assets. A finished step is never done again."""

import hashlib
import time
from typing import TYPE_CHECKING, Any

from processors.copywriting import messages, parse_copy, template_copy
from processors.page import choose_theme, hero_svg
from schemas.errors import DecodeError
from schemas.generation import (
    STEP_RESULTS,
    Attempt,
    GenerationRequest,
    Step,
    StepName,
    StepResult,
    decode_model,
    encode_model,
    model_from_object,
)
from streams import metrics

if TYPE_CHECKING:
    from streams.generation import Clients

COPY_BUDGET_MS = 5_000
IMMUTABLE = "public, max-age=31536000, immutable"
Outcome = tuple[str, dict[str, Any], list[Attempt]]


async def handle(clients: "Clients", message: Any) -> None:
    """One record of `lp.steps`."""
    step = decode_model(Step, message.value or b"")
    request = model_from_object(GenerationRequest, step.input.get("request"))
    value = await clients.results.finished_step(step.step_id)
    if value is None:
        started = time.monotonic()
        status, output, attempts = await WORK[step.step](clients, request, step.deadline_ms)
        elapsed = time.monotonic() - started
        metrics.STAGE_SECONDS.labels(step.step.value).observe(elapsed)
        value = encode_model(
            StepResult.model_validate(
                {
                    "request_id": step.request_id,
                    "step_id": step.step_id,
                    "step": step.step,
                    "status": status,
                    "output": output,
                    "elapsed_ms": int(elapsed * 1000),
                    "attempts": attempts,
                }
            )
        )
        await clients.results.finish_step(step.step_id, value)
    await clients.send(STEP_RESULTS, str(step.request_id).encode(), value)


async def _template(clients: "Clients", request: GenerationRequest, deadline_ms: int) -> Outcome:
    return "ok", {"theme": choose_theme(request.industry).name}, []


async def _copy(clients: "Clients", request: GenerationRequest, deadline_ms: int) -> Outcome:
    writer = clients.writers[request.quality]
    attempts: list[Attempt] = []
    if writer.configured:
        budget_ms = min(deadline_ms, int(time.time() * 1000) + COPY_BUDGET_MS)
        text, attempts = await writer.write(messages(request), budget_ms)
        for attempt in attempts:
            metrics.MODEL_CALLS.labels(attempt.provider, attempt.outcome).inc()
            metrics.COST.inc(attempt.cost_micro_jpy)
        if text is not None:
            try:
                return "ok", {"copy": parse_copy(text).model_dump(), "by": "model"}, attempts
            except DecodeError as error:
                attempts[-1] = attempts[-1].model_copy(update={"outcome": f"invalid: {error.field}"[:80]})
    return "fallback", {"copy": template_copy(request).model_dump(), "by": "template"}, attempts


async def _assets(clients: "Clients", request: GenerationRequest, deadline_ms: int) -> Outcome:
    body = hero_svg(choose_theme(request.industry).name)
    key = f"assets/{hashlib.sha256(body).hexdigest()[:16]}.svg"
    await clients.objects.put(key, body, "image/svg+xml", IMMUTABLE)
    return "ok", {"hero_url": f"/{key}"}, []


WORK = {StepName.TEMPLATE: _template, StepName.COPY: _copy, StepName.ASSETS: _assets}
