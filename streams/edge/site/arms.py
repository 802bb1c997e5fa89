"""The answer at an address of an experiment: an arm, the winner, or the way to the page."""

import random

from aiohttp import hdrs, web
from cachetools import LRUCache

from infra.s3.objects import StoredObject
from processors.experiments.assignment import draw, is_robot, named_arm
from processors.experiments.head import dressed
from streams.edge.services import Services
from streams.edge.site.experiments import PAGE_CACHE, ArmOf, Running, Serving, Won
from streams.edge.site.object_cache import CachedObject
from streams.edge.site.published import PAGE_CSP, SAFE, answer, made, published

NOT_STORED = {"Cache-Control": "private, no-store"}
COUNTED = {**NOT_STORED, "Content-Security-Policy": PAGE_CSP}
# a robot gets the page without its snippet, so that robots do not count as visitors of the control
NOT_COUNTED = {**NOT_STORED, "Content-Security-Policy": PAGE_CSP.replace("script-src 'self'; connect-src 'self'; ", "")}
CONSENT_NEEDED = b'data-consent="required"', b"data-consent=required"
KEPT_BYTES = 32 * 2**20

Dressed = LRUCache[tuple[str, str, str, str], StoredObject]
_dressed: Dressed = LRUCache(KEPT_BYTES, lambda stored: len(stored.body))


async def answer_arm(request: web.BaseRequest, services: Services, lp_id: str, serving: Serving) -> web.Response | None:
    """Return the arm or the winner that the address serves, or None if the experiment's page was erased.

    An arm's own address redirects to that page, with its query: campaigns are marked there.
    """
    page = await published(services, serving.lp_id if isinstance(serving, ArmOf) else lp_id)
    if page is None:
        return None
    if isinstance(serving, ArmOf):
        query = request.rel_url.raw_query_string
        location = f"/lp/{serving.lp_id}" + (f"?{query}" if query else "")
        return web.Response(status=302, headers={**SAFE, **NOT_STORED, "Location": location})
    if isinstance(serving, Won):
        cached = await _dressed_page(services, serving.winner, lp_id, page) or page
        return answer(request, cached, {"Content-Security-Policy": PAGE_CSP, "Cache-Control": PAGE_CACHE})
    if request.method == "HEAD" or is_robot(request.headers.get(hdrs.USER_AGENT, "")):
        cached = await _dressed_page(services, serving.before, lp_id, page) or page
        return answer(request, cached, NOT_COUNTED)
    return await _arm(request, services, lp_id, serving, page)


async def _arm(
    request: web.BaseRequest, services: Services, lp_id: str, serving: Running, page: CachedObject
) -> web.Response:
    named = named_arm("; ".join(request.headers.getall(hdrs.COOKIE, ())), serving.arms)
    place = draw(serving.bounds, random.random()) if named is None else serving.arms.index(named)  # noqa: S311
    if (cached := await _dressed_page(services, serving.arms[place], lp_id, page)) is None:
        return answer(request, page, NOT_COUNTED)  # the arm's page was erased
    response = answer(request, cached, COUNTED)
    if named is None and _may_keep(request, cached.object.body):
        response.headers[hdrs.SET_COOKIE] = serving.cookies[place]
    return response


def _may_keep(request: web.BaseRequest, body: bytes) -> bool:
    """Return whether the visitor's arm may be kept in a cookie.

    A page that requires consent keeps none: the edge cannot know whether the visitor has consented.
    """
    refused = request.headers.get("DNT") == "1" or request.headers.get("Sec-GPC") == "1"
    return not refused and not any(mark in body for mark in CONSENT_NEEDED)


async def _dressed_page(services: Services, arm: str, lp_id: str, page: CachedObject) -> CachedObject | None:
    """Return an arm with the page's address and cards, or None if the arm was erased."""
    if arm == lp_id:
        return page
    if (found := await made(services, arm)) is None:
        return None
    key = (arm, found.object.etag, lp_id, page.object.etag)
    if (stored := _dressed.get(key)) is None:
        base = f"{services.settings.page_base_url}/lp/".encode()
        body = dressed(found.object.body, page.object.body, base + arm.encode(), base + lp_id.encode())
        etag = f'"{found.object.etag.strip(chr(34))}-{page.object.etag.strip(chr(34))}"'
        stored = StoredObject(body, found.object.content_type, etag)
        if len(body) <= KEPT_BYTES:
            _dressed[key] = stored
    return CachedObject(stored, found.age_s)
