"""The studio's style sheet, script and icon, under names that hold a hash of their bytes."""

import hashlib
from importlib.resources import files

from aiohttp import web

from infra.tenants import Caller
from streams.edge.http.errors import HttpError
from streams.edge.services import Services
from streams.edge.site.snippet import FOREVER

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def _load() -> tuple[dict[str, str], dict[str, tuple[bytes, str]]]:
    names, bodies = {}, {}
    for suffix, content_type in TYPES.items():
        body = files("streams.edge").joinpath("static", f"studio.{suffix}").read_bytes()
        name = f"studio.{hashlib.sha256(body).hexdigest()[:12]}.{suffix}"
        names[suffix if suffix != "svg" else "icon"] = name
        bodies[name] = (body, content_type)
    return names, bodies


NAMES, _BODIES = _load()


async def static(request: web.BaseRequest, services: Services, *, caller: Caller | None, name: str) -> web.Response:
    """Return one of the files."""
    if name not in _BODIES:
        raise HttpError(404, "HTTP 404 Not Found")
    body, content_type = _BODIES[name]
    headers = {
        "Cache-Control": FOREVER,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
        "Content-Type": content_type if content_type == "image/svg+xml" else f"{content_type}; charset=utf-8",
    }
    return web.Response(body=body, headers=headers)
