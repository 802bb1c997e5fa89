"""The routes that programs ask for by themselves: robots.txt, the sitemap, an icon."""

from aiohttp import web

from infra.tenants import Caller
from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services

DAY = {"Cache-Control": "public, max-age=86400"}
HOUR = {"Cache-Control": "public, max-age=3600"}


async def robots(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return robots.txt: pages may be indexed, the doors for records not. It names the sitemap."""
    address = f"{services.settings.page_base_url}/sitemap.xml"
    return web.Response(text=f"User-agent: *\nDisallow: /e/\nDisallow: /topics/\nSitemap: {address}\n", headers=DAY)


async def sitemap(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, part: str = ""
) -> web.Response:
    """Return the sitemap of all published pages: an index of parts if there are over 50,000."""
    with needing("The page store"):
        text = await services.sitemaps.get(part)
    if text is None:
        raise HttpError(404, "HTTP 404 Not Found")
    return web.Response(body=text, content_type="application/xml", headers=HOUR)


async def favicon(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return no icon. Browsers ask for one at every page that names none."""
    return web.Response(status=204, headers=DAY)
