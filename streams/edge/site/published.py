"""Answers with published pages and files: their headers, and 304 for clients that have them."""

from aiohttp import web

from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services
from streams.edge.site.object_cache import CachedObject

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'unsafe-inline';"
    " form-action https: http:; base-uri 'none'; frame-ancestors 'self'"
)
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin"}


async def published(services: Services, lp_id: str) -> CachedObject | None:
    """Return a page, or None if there is none. Raise HttpError 503 if its store does not answer."""
    with needing("The page store"):
        return await services.shelf.get(f"pages/{lp_id}/index.html")


def answer(request: web.BaseRequest, cached: CachedObject | None, headers: dict[str, str]) -> web.Response:
    """Return 200 with the object, or 304 if the client has it. Raise HttpError 404 without an object."""
    if cached is None:
        raise HttpError(404, "HTTP 404 Not Found")
    stored = cached.object
    headers = {**SAFE, **headers, "ETag": stored.etag, "Age": str(int(cached.age_s))}
    if request.headers.get("If-None-Match") == stored.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=stored.body, headers={**headers, "Content-Type": stored.content_type})
