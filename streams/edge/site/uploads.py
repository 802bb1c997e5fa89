"""The routes of uploads: a tenant's own pictures and logos."""

from typing import cast

import msgspec
from aiohttp import web

from infra.tenants import Caller
from schemas.errors import DecodeError
from schemas.generation import encode_model
from schemas.uploads import Upload
from streams.edge.http.bodies import read_body
from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services
from streams.pictures.uploads import UploadRefused


async def upload(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Store a picture or logo of the tenant; return its id and files. The bytes decide on the format."""
    stored = await take(request, services, cast(Caller, caller))
    return web.Response(body=encode_model(stored), content_type="application/json")


async def take(request: web.BaseRequest, services: Services, caller: Caller) -> Upload:
    """Read the body and store it as an upload. Raise HttpError if it cannot be stored."""
    settings, account = services.settings, services.admission.tenant(caller.tenant.id)
    limit = min(settings.edge_max_upload_bytes, settings.edge_max_in_flight_bytes)
    with services.admission.room() as room:
        body = await read_body(request, settings, room, limit=limit, account=account)
        with needing("The picture store"):
            try:
                return await services.uploads.add(caller.tenant.id, body)
            except DecodeError as error:
                raise HttpError(422, str(error)) from error
            except UploadRefused as error:
                raise HttpError(error.status, str(error)) from error


async def listing(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return the ids of the tenant's uploads."""
    with needing("The picture store"):
        ids = await services.uploads.ids(cast(Caller, caller).tenant.id)
    return web.Response(body=msgspec.json.encode({"uploads": ids}), content_type="application/json")


async def delete(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, upload_id: str
) -> web.Response:
    """Delete an upload of the tenant and its files. Pages that show it lose it."""
    with needing("The picture store"):
        await services.uploads.delete(cast(Caller, caller).tenant.id, upload_id)
    return web.Response(status=204)
