"""The routes of published pages, their files, the snippet, and generation requests."""

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import web

from infra.tenants import Caller
from processors.pages.curated import assets_at
from schemas.errors import LpstreamError
from schemas.generation import Progress, Result, decode_model, encode_model
from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services
from streams.edge.site.arms import answer_arm
from streams.edge.site.object_cache import CachedObject
from streams.edge.site.published import PAGE_CSP, SAFE, answer, made, published
from streams.edge.site.snippet import FOREVER, TYPE, of_another_release
from streams.pictures.stored import UNPUBLISHED, erased_key

PREVIEW_CSP = "default-src 'none'; img-src {public}; style-src 'unsafe-inline'; sandbox; base-uri 'none'"
MISSING_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'"
NOTICE = """<!doctype html>
<html lang="ja"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title>
<style>body{{font:1rem/1.9 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem;color:#222}}
h1{{font-size:1.3rem}}</style></head>
<body><h1>{title}</h1>
<p>{text}</p></body></html>
"""
# a page that never was, a page that was published and erased, and a variant
MISSING = (
    404,
    "HTTP 404 Not Found",
    "ページが見つかりません",
    "アドレスが正しくない可能性があります。お手数ですが、もう一度お確かめください。",
)
ERASED = (
    410,
    "HTTP 410 Gone",
    "このページは公開を終了しました",
    "ご覧いただき、ありがとうございました。このページはもう公開されません。",
)
VARIANT = (
    404,
    "This page is a variant: it is unpublished until an experiment serves it",
    "このページは公開されていません",
    "別のページを比べるための下書きです。比較が始まるまで、このアドレスでは表示されません。",
)
NO_INDEX = {"X-Robots-Tag": "noindex"}
SHORTLY = "public, max-age=300"
HEARTBEAT_S = 5.0


async def page(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Return a published page, or an arm of its experiment.

    Else 410 if it was published and erased, or 404, as for a variant. Both are pages that people can read.
    """
    serving = services.experiments.serving.get(lp_id)
    if serving is not None and (arm := await answer_arm(request, services, lp_id, serving)) is not None:
        return arm
    cached = await published(services, lp_id)
    if cached is None:
        return await _missing(request, services, lp_id)
    return answer(
        request, cached, {"Content-Security-Policy": PAGE_CSP, "Cache-Control": services.experiments.page_cache}
    )


async def _missing(request: web.BaseRequest, services: Services, lp_id: str) -> web.Response:
    with needing("The page store"):
        mark = await services.shelf.get(erased_key(lp_id))
    notice = MISSING if mark is None else VARIANT if mark.object.body == UNPUBLISHED else ERASED
    status, reason, title, text = notice
    if "application/json" in request.headers.get("Accept", ""):  # a proxy may have removed a browser's header
        raise HttpError(status, reason)
    headers = {**SAFE, "Content-Security-Policy": MISSING_CSP, "Cache-Control": "no-store"}
    html = NOTICE.format(title=title, text=text)
    return web.Response(status=status, text=html, content_type="text/html", charset="utf-8", headers=headers)


async def asset(request: web.BaseRequest, services: Services, *, caller: Caller | None, name: str) -> web.Response:
    """Return a page's file. Its name holds a hash of its bytes or, for a card, the page's id."""
    with needing("The page store"):
        if name.startswith("card-"):
            card = await services.cards.get(name)
            cached = CachedObject(card, 0.0) if card is not None else None
        else:
            cached = await services.shelf.get(f"assets/{name}")
    return answer(request, cached, {"Cache-Control": FOREVER})


async def snippet(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, digest: str | None = None
) -> web.Response:
    """Return the tracking snippet, or the script of another release if the path has its digest."""
    if digest is not None and digest != services.snippet.digest:
        with needing("The store of snippets"):
            other = await of_another_release(services.shelf, digest)
        return answer(request, other, {"Cache-Control": FOREVER})
    headers = {
        "Cache-Control": SHORTLY if digest is None else FOREVER,
        "X-Content-Type-Options": "nosniff",
        "SourceMap": "/t.js.map",
    }
    return web.Response(body=services.snippet.body, content_type=TYPE, charset="utf-8", headers=headers)


async def source_map(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return the snippet's source map, for debuggers."""
    headers = {"Cache-Control": SHORTLY, "X-Content-Type-Options": "nosniff"}
    return web.Response(body=services.snippet.source_map, content_type="application/json", headers=headers)


async def status(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, request_id: str
) -> web.Response:
    """Return a request's result (200), or its progress (202)."""
    stored, progress = await state_of(services, uuid_of(request_id))
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
    """Send progress as server-sent events until the request is done, then close the stream.

    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    request_uuid = uuid_of(request_id)
    with services.progress.follow(request_uuid, caller.tenant.id if caller else "") as coming:
        now = await _progress_of(services, request_uuid, caller)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        with contextlib.suppress(ConnectionResetError):  # the client has disconnected
            await _send_events(services, response, now, coming)
    return response


async def state_of(services: Services, request_uuid: UUID) -> tuple[bytes | None, tuple[str, Progress] | None]:
    """Return a request's result, and its tenant and progress.

    The result is read last: a request that finishes in between has its result.
    """
    with needing("Redis"):
        progress = await services.results.progress(request_uuid)
        return await services.results.get(request_uuid), progress


async def _progress_of(services: Services, request_uuid: UUID, caller: Caller | None) -> Progress:
    """Return the request's progress. Raise HttpError 404 if it is not the caller's."""
    stored, progress = await state_of(services, request_uuid)
    if stored is not None and _owns(caller, decode_model(Result, stored).tenant_id):
        return _done(request_uuid)
    if progress is not None and _owns(caller, progress[0]):
        return progress[1]
    raise HttpError(404, "No such request")


async def _send_events(
    services: Services, response: web.StreamResponse, now: Progress, coming: asyncio.Queue[Progress]
) -> None:
    """Write each new progress until the end, and a comment when there is none for HEARTBEAT_S."""
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
    """Return the next progress, or after HEARTBEAT_S `now` again, or done if there is a result."""
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
    """Return the page of a finished request, without scripts."""
    with needing("Redis"):
        stored = await services.results.get(uuid_of(request_id))
    result = decode_model(Result, stored) if stored is not None else None
    if result is None or result.lp_id is None or not _owns(caller, result.tenant_id):
        raise HttpError(404, "No such request, or it has no page")
    cached = await made(services, result.lp_id)
    public = services.settings.page_base_url
    policy = PREVIEW_CSP.format(public=public)
    if cached is not None:
        cached = cached._replace(object=replace(cached.object, body=assets_at(cached.object.body, public)))
    return answer(request, cached, {"Content-Security-Policy": policy, "Cache-Control": "no-store", **NO_INDEX})


def _owns(caller: Caller | None, tenant_id: str) -> bool:
    return caller is not None and caller.tenant.id == tenant_id


def uuid_of(text: str) -> UUID:
    """Return the request id of a path. Raise HttpError 404 if the text is not a UUID."""
    try:
        return UUID(text)
    except ValueError as error:
        raise HttpError(404, "No such request") from error
