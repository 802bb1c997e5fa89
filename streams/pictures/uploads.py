"""Uploads in the object store: the files that pages load, and a manifest that names them.

The manifest is written last and deleted first. So an upload that was interrupted cannot be named in a request, and the
same upload completes it.
"""

import asyncio
import hashlib

from infra.s3.objects import Objects
from processors.pages.uploads import files_prefix, prepare
from schemas.errors import DecodeError, LpstreamError
from schemas.generation import Assets, decode_model, encode_model
from schemas.uploads import Upload, Uploads
from streams.pictures.cards import IMMUTABLE
from streams.pictures.drawing import DrawingProcess

MOST_UPLOADS = 1_000
# a hero fills the screen of a phone, and is cut to its height
HERO = (640, 400)
PRIVATE = "private, no-store"


class UploadRefused(LpstreamError):  # noqa: N818 - the name says what happened
    """An upload that the tenant may not add now. `status` is the status for HTTP: 409 or 429."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def manifests_prefix(tenant_id: str) -> str:
    """Return the beginning of the keys of a tenant's manifests."""
    return f"uploads/{tenant_id}/"


def manifest_key(tenant_id: str, upload_id: str) -> str:
    """Return the key of an upload's manifest."""
    return f"{manifests_prefix(tenant_id)}{upload_id}.json"


async def keys_of(objects: Objects, tenant_id: str) -> list[str]:
    """Return all keys of a tenant's uploads, the manifests first: delete them in this order."""
    return [*await objects.keys(manifests_prefix(tenant_id)), *await objects.names(files_prefix(tenant_id))]


async def find(objects: Objects, tenant_id: str, upload_id: str) -> Upload | None:
    """Return the tenant's upload, or None if it has no such upload."""
    stored = await objects.get(manifest_key(tenant_id, upload_id))
    return None if stored is None else decode_model(Upload, stored.body)


async def uploads_of(objects: Objects, tenant_id: str, assets: Assets) -> Uploads:
    """Return the uploads that a request names.

    Raise DecodeError with the field if the tenant has no such upload.
    """
    found: dict[str, Upload | None] = {"picture": None, "logo": None}
    for name in found:
        if (upload_id := getattr(assets, name)) is None:
            continue
        if (upload := await find(objects, tenant_id, upload_id)) is None:
            raise DecodeError(f"assets.{name}", "is no upload of this tenant; send the file to POST /uploads first")
        found[name] = upload
    picture = found["picture"]
    if picture is not None and (picture.width < HERO[0] or picture.height < HERO[1]):
        raise DecodeError(
            "assets.picture",
            f"is {picture.width} x {picture.height} pixels with sides of at most 1,600; give a picture that then has "
            f"at least {HERO[0]} x {HERO[1]}",
        )
    return Uploads.model_validate(found)


class UploadStore:
    """The uploads of all tenants. `process` decodes and encodes, because that takes seconds."""

    def __init__(self, objects: Objects, process: DrawingProcess) -> None:
        self._objects = objects
        self._process = process
        self._busy: set[str] = set()

    async def add(self, tenant_id: str, body: bytes) -> Upload:
        """Store a file; return the upload. Equal bytes are stored once.

        Raise DecodeError if it is no picture for pages, UploadRefused if another upload of the tenant is at work or the
        tenant has too many.
        """
        if (stored := await find(self._objects, tenant_id, hashlib.sha256(body).hexdigest())) is not None:
            return stored
        if tenant_id in self._busy:
            raise UploadRefused(429, "Another upload of this tenant is being encoded; send one after the other")
        self._busy.add(tenant_id)
        try:
            return await self._encode(tenant_id, body)
        finally:
            self._busy.discard(tenant_id)

    async def _encode(self, tenant_id: str, body: bytes) -> Upload:
        if len(await self._objects.keys(manifests_prefix(tenant_id))) >= MOST_UPLOADS:
            raise UploadRefused(409, f"This tenant has {MOST_UPLOADS:,} uploads; delete those that no page shows")
        upload, files = await self._process.run(prepare, tenant_id, body)
        await asyncio.gather(*(self._objects.put(file.key, file.body, file.content_type, IMMUTABLE) for file in files))
        key = manifest_key(tenant_id, upload.upload)
        await self._objects.put(key, encode_model(upload), "application/json", PRIVATE)
        return upload

    async def ids(self, tenant_id: str) -> list[str]:
        """Return the ids of a tenant's uploads."""
        prefix = manifests_prefix(tenant_id)
        return sorted(key.removeprefix(prefix).removesuffix(".json") for key in await self._objects.keys(prefix))

    async def delete(self, tenant_id: str, upload_id: str) -> None:
        """Delete an upload and its files; a missing upload counts as deleted. Pages lose the picture."""
        await self._objects.delete([manifest_key(tenant_id, upload_id)])
        await self._objects.delete(await self._objects.names(files_prefix(tenant_id, upload_id)))
