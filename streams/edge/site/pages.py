"""Routes of published pages, their files, and generation requests."""

import asyncio
import contextlib
import time
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import web

from infra.tenants import Caller
from schemas.errors import LpstreamError
from schemas.generation import Progress, Result, decode_model, encode_model
from streams.edge.http.errors import HttpError
from streams.edge.services import Services
from streams.edge.site.object_cache import CachedObject

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'unsafe-inline';"
    " form-action https: http:; base-uri 'none'; frame-ancestors 'self'"
)
PREVIEW_CSP = "default-src 'none'; img-src {public}; style-src 'unsafe-inline'; sandbox; base-uri 'none'"
HEARTBEAT_S = 5.0
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin"}


async def page(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """A published page."""
    found = await _object(services, f"pages/{lp_id}/index.html")
    return _answer(request, found, {"Content-Security-Policy": PAGE_CSP, "Cache-Control": "public, max-age=3600"})


async def asset(request: web.BaseRequest, services: Services, *, caller: Caller | None, name: str) -> web.Response:
    """A page's file; its name is a hash of its bytes, or that of its page."""
    found = await (_card(services, name) if name.startswith("card-") else _object(services, f"assets/{name}"))
    return _answer(request, found, {"Cache-Control": "public, max-age=31536000, immutable"})


async def status(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, request_id: str
) -> web.Response:
    """A request's result, or how far it is."""
    wanted = _uuid(request_id)
    try:
        stored = await services.results.get(wanted)
        progress = await services.results.progress(wanted)
    except LpstreamError as error:
        raise HttpError(503, "Redis does not answer, try again") from error
    if stored is not None and _owns(caller, decode_model(Result, stored).tenant_id):
        return web.Response(body=stored, content_type="application/json")
    if stored is None and progress is not None and _owns(caller, progress[0]):
        percent = progress[1].percent
        state: dict[str, Any] = {"status": "running" if percent else "queued", "percent": percent}
        return web.Response(status=202, body=msgspec.json.encode(state), content_type="application/json")
    raise HttpError(404, "No such request")


async def events(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, request_id: str
) -> web.StreamResponse:
    """Progress as server-sent events, from where the request is to its end; then the stream closes.

    Form: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    wanted = _uuid(request_id)
    with services.progress.follow(wanted, caller.tenant.id if caller else "") as coming:
        now = await _known(services, wanted, caller)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        with contextlib.suppress(ConnectionResetError):  # the reader has gone: nobody to tell
            await _tell(services, response, now, coming)
    return response


async def _known(services: Services, wanted: UUID, caller: Caller | None) -> Progress:
    """Where the request is; HttpError 404 when it is none of the caller's."""
    try:
        progress = await services.results.progress(wanted)
        stored = await services.results.get(wanted)
    except LpstreamError as error:
        raise HttpError(503, "Redis does not answer, try again") from error
    if stored is not None and _owns(caller, decode_model(Result, stored).tenant_id):
        return _done(wanted)
    if progress is not None and _owns(caller, progress[0]):
        return progress[1]
    raise HttpError(404, "No such request")


async def _tell(
    services: Services, response: web.StreamResponse, now: Progress, coming: asyncio.Queue[Progress]
) -> None:
    """Write what is new, and a comment where a while has brought nothing, until the end."""
    percent = -1
    while not services.ending:
        if now.percent > percent:
            percent = now.percent
            await response.write(b"event: progress\ndata: " + encode_model(now) + b"\n\n")
        else:
            await response.write(b": waiting\n\n")
        if percent == 100:
            break
        now = await _next(services, now, coming)


async def _next(services: Services, now: Progress, coming: asyncio.Queue[Progress]) -> Progress:
    """The next progress; the same again after a while without one, unless there is a result by now."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT_S):
            return await coming.get()
    with contextlib.suppress(LpstreamError):
        if await services.results.get(now.request_id) is not None:
            return _done(now.request_id)
    return now


def _done(request_id: UUID) -> Progress:
    return Progress(request_id=request_id, percent=100, stage="done", at_ms=int(time.time() * 1000))


async def preview(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, request_id: str
) -> web.Response:
    """The page of a finished request, without scripts."""
    try:
        stored = await services.results.get(_uuid(request_id))
    except LpstreamError as error:
        raise HttpError(503, "Redis does not answer, try again") from error
    result = decode_model(Result, stored) if stored is not None else None
    if result is None or result.lp_id is None or not _owns(caller, result.tenant_id):
        raise HttpError(404, "No such request, or it has no page")
    found = await _object(services, f"pages/{result.lp_id}/index.html")
    policy = PREVIEW_CSP.format(public=services.settings.page_base_url)
    return _answer(request, found, {"Content-Security-Policy": policy, "Cache-Control": "no-store"})


def _owns(caller: Caller | None, tenant_id: str) -> bool:
    return caller is not None and caller.tenant.id == tenant_id


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise HttpError(404, "No such request") from error


async def _card(services: Services, name: str) -> CachedObject:
    """A picture of a page, drawn now if nobody has asked for it before."""
    try:
        found = await services.cards.get(name)
    except LpstreamError as error:
        raise HttpError(503, "The page store does not answer, try again") from error
    if found is None:
        raise HttpError(404, "HTTP 404 Not Found")
    return CachedObject(found, 0.0)


async def _object(services: Services, key: str) -> CachedObject:
    try:
        found = await services.shelf.get(key)
    except LpstreamError as error:
        raise HttpError(503, "The page store does not answer, try again") from error
    if found is None:
        raise HttpError(404, "HTTP 404 Not Found")
    return found


def _answer(request: web.BaseRequest, shelved: CachedObject, headers: dict[str, str]) -> web.Response:
    found = shelved.object
    headers = {**SAFE, **headers, "ETag": found.etag, "Age": str(int(shelved.age_s))}
    if request.headers.get("If-None-Match") == found.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.body, headers={**headers, "Content-Type": found.content_type})
