"""Answers with published pages and files: their headers, and 304 for clients that have them."""

from aiohttp import web
from cachetools import LRUCache

from streams.edge.http import revalidation
from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services
from streams.edge.site.object_cache import CachedObject
from streams.pictures.stored import html_key

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'unsafe-inline';"
    " form-action https: http:; base-uri 'none'; frame-ancestors 'self'"
)
_variants: LRUCache[str, bool] = LRUCache(100_000)
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin"}


async def published(services: Services, lp_id: str) -> CachedObject | None:
    """Return a page, or None if there is none. Raise HttpError 503 if its store does not answer."""
    with needing("The page store"):
        return await services.shelf.get(html_key(lp_id))


async def made(services: Services, lp_id: str) -> CachedObject | None:
    """Return a page or an unpublished variant, for its tenant and for experiments; errors as `published`.

    A page never becomes a variant, so an id that was a variant before is looked up in one read.
    """
    with needing("The page store"):
        for variant in (True, False) if lp_id in _variants else (False, True):
            if (found := await services.shelf.get(html_key(lp_id, variant=variant))) is not None:
                if variant:
                    _variants[lp_id] = True
                return found
    return None


def answer(request: web.BaseRequest, cached: CachedObject | None, headers: dict[str, str]) -> web.Response:
    """Return 200 with the object, or 304 if the client has it. Raise HttpError 404 without an object."""
    if cached is None:
        raise HttpError(404, "HTTP 404 Not Found")
    stored = cached.object
    headers = {**SAFE, **headers, "ETag": stored.etag, "Age": str(int(cached.age_s))}
    if revalidation.client_has(request, stored.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=stored.body, headers={**headers, "Content-Type": stored.content_type})
