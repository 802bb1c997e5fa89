"""Step results become a page: join, integrate, optimise, publish."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from processors.copywriting import copy_fields, lint
from processors.page import Asset, integrate, og_image, optimise, page_warnings, thumbnail
from schemas.copywriting import Copy
from schemas.errors import DecodeError
from schemas.generation import (
    RESULTS,
    GenerationRequest,
    Result,
    StepName,
    StepResult,
    Timings,
    Warning_,
    decode_model,
    encode_model,
    lp_id_of,
    model_from_object,
)
from streams import metrics

if TYPE_CHECKING:
    from streams.generation import Clients

ASSET_CACHE = "public, max-age=31536000, immutable"
PAGE_CACHE = "public, max-age=3600"


async def handle(clients: "Clients", message: Any) -> None:
    """One record of `lp.step-results`; the one that completes the set publishes the page.

    A redelivery joins and publishes again: the page has the same address, and the first result stored wins.
    """
    step = decode_model(StepResult, message.value or b"")
    joined = await clients.results.join(step.request_id, step.step, encode_model(step))
    known = await clients.results.request(step.request_id)
    if known is None:
        raise DecodeError("request_id", "names a request that is not known any more")
    request = model_from_object(GenerationRequest, known["request"])
    if len(joined) < len(StepName):
        await clients.progress(request.tenant_id, request.request_id, 10 + 20 * len(joined), step.step.value)
        return
    parts = {StepName(name): decode_model(StepResult, value) for name, value in joined.items()}
    await _publish(clients, request, known, parts)


async def _publish(
    clients: "Clients", request: GenerationRequest, known: dict[str, Any], parts: dict[StepName, StepResult]
) -> None:
    settings = clients.settings
    lp_id = lp_id_of(request.tenant_id, request.request_id)
    await clients.progress(request.tenant_id, request.request_id, 75, "integrate")
    started = time.monotonic()
    template = parts[StepName.TEMPLATE].output["template"]
    copy, warnings = lint(copy_fields(request), model_from_object(Copy, parts[StepName.COPY].output["copy"]))
    card, small = await asyncio.to_thread(_cards, request, copy, template)
    for asset in (card, small):
        await clients.objects.put(asset.key, asset.body, asset.content_type, ASSET_CACHE)
    html = integrate(request, copy, template=template, lp_id=lp_id, base_url=settings.page_base_url, og_key=card.key)
    integrated = time.monotonic()
    page = optimise(html)
    optimised = time.monotonic()
    await clients.objects.put(f"pages/{lp_id}/index.html", page, "text/html; charset=utf-8", PAGE_CACHE)
    timings = _timings(known, parts) | {
        "integrate": int((integrated - started) * 1000),
        "optimize": int((optimised - integrated) * 1000),
        "preview": int((time.monotonic() - optimised) * 1000),
        "total": int(time.time() * 1000) - known["created_ms"],
    }
    result = _result(clients, request, lp_id, parts, timings).model_copy(
        update={"thumbnail_url": f"{settings.page_base_url}/{small.key}"}
    )
    result = result.model_copy(update={"warnings": [*result.warnings, *warnings, *page_warnings(request)]})
    key = str(request.request_id).encode()
    await clients.send(RESULTS, key, await clients.results.first(result))
    await clients.progress(request.tenant_id, request.request_id, 100, "done")
    metrics.RESULTS.labels(result.status, result.cache).inc()


def _cards(request: GenerationRequest, copy: Copy, template: str) -> tuple[Asset, Asset]:
    return (
        Asset.of(og_image(request, copy, template), "png"),
        Asset.of(thumbnail(request, copy, template), "png"),
    )


def _timings(known: dict[str, Any], parts: dict[StepName, StepResult]) -> dict[str, int | None]:
    attempts = parts[StepName.COPY].attempts
    return {
        "validate": known["validate_ms"],
        **{name.value: part.elapsed_ms for name, part in parts.items()},
        "provider": sum(attempt.total_ms for attempt in attempts) if attempts else None,
    }


def _result(
    clients: "Clients",
    request: GenerationRequest,
    lp_id: str,
    parts: dict[StepName, StepResult],
    timings: dict[str, int | None],
) -> Result:
    """`degraded` when a model was to write the copy and did not; without a provider, template copy is the copy."""
    settings = clients.settings
    copy = parts[StepName.COPY]
    by_template = copy.status == "fallback"
    configured = clients.writers[request.quality].configured
    warning = Warning_(
        code="template_copy",
        detail="no provider answered in time" if configured else "no provider is configured; built-in copy was used",
    )
    return Result(
        request_id=request.request_id,
        tenant_id=request.tenant_id,
        status="degraded" if by_template and configured else "completed",
        lp_id=lp_id,
        page_url=f"{settings.page_base_url}/lp/{lp_id}",
        preview_url=f"{settings.api_base_url}/lp/requests/{request.request_id}/preview",
        timings_ms=Timings.model_validate(timings),
        attempts=copy.attempts,
        cost_micro_jpy=sum(attempt.cost_micro_jpy for attempt in copy.attempts),
        warnings=[warning] if by_template else [],
    )
