"""Uploads over the private listener, on a real object store and with the real drawing process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from edge_listeners import ANALYST, JSON, RIVAL, TOKEN, RunningEdge, running_edge
from page_requests import least
from picture_files import HEIC, encoded, logo, photo

from infra.s3.objects import Objects
from schemas.errors import DecodeError, Retryable
from schemas.generation import Assets, encode_model
from schemas.uploads import Upload
from streams.pictures.drawing import DrawingProcess
from streams.pictures.uploads import UploadStore, keys_of, uploads_of

PHOTO = encoded(photo(900, 600), "JPEG")
SMALL = encoded(logo(200, 100), "PNG")


@pytest.fixture
async def edge(objects: Objects) -> AsyncIterator[RunningEdge]:
    async with running_edge(objects=objects) as running:
        yield running


async def call(edge: RunningEdge, method: str, path: str, body: bytes = b"", token: str = TOKEN) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/html"}
    async with edge.session.request(method, edge.private + path, data=body or None, headers=headers) as answer:
        text = await answer.read()
        return answer.status, msgspec.json.decode(text) if text else None


async def uploaded(edge: RunningEdge, body: bytes, token: str = TOKEN) -> Upload:
    status, answer = await call(edge, "POST", "/uploads", body, token)
    assert status == 200, answer
    return Upload.model_validate(answer)


async def asked(edge: RunningEdge, **assets: str) -> tuple[int, str]:
    """Request a page with these assets; return the status and the message."""
    request = least(request_id=uuid4(), tenant_id="demo", assets=assets)
    body = b'{"records":[{"value":' + encode_model(request) + b"}]}"
    status, answer = await edge.post("/topics/lp.requests", body, JSON, private=True)
    return status, answer.get("message", "")


async def test_an_upload_is_served_by_its_hash_and_equal_bytes_are_stored_once(
    edge: RunningEdge, objects: Objects
) -> None:
    first = await uploaded(edge, PHOTO)
    stored = await keys_of(objects, "demo")
    assert await uploaded(edge, PHOTO) == first and await keys_of(objects, "demo") == stored
    assert stored[0] == f"uploads/demo/{first.upload}.json" and len(stored) == 6
    for file in (*first.pictures, first.logo):
        async with edge.session.get(f"{edge.public}/{file.key}") as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, f"image/{file.suffix}")
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_request_names_only_uploads_of_its_own_tenant(edge: RunningEdge) -> None:
    own, foreign = await uploaded(edge, PHOTO), await uploaded(edge, SMALL, RIVAL)
    assert (await asked(edge, picture=own.upload, logo=own.upload))[0] == 200
    for field, wrong in (("picture", "0" * 64), ("logo", foreign.upload), ("picture", foreign.upload)):
        status, message = await asked(edge, **{field: wrong})
        assert status == 422 and f"records[0].value: assets.{field}: is no upload of this tenant" in message
    assert len(edge.records) == 1


async def test_a_picture_that_is_too_small_for_a_hero_is_a_logo_only(edge: RunningEdge) -> None:
    small = await uploaded(edge, SMALL)
    status, message = await asked(edge, picture=small.upload)
    assert status == 422 and "assets.picture: is 200 x 100 pixels" in message
    assert (await asked(edge, logo=small.upload))[0] == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("picture", "https://evil.example/x.png"),
        ("logo", "http://169.254.169.254/latest/meta-data"),
        ("picture", "../rival/" + "0" * 64),
        ("logo", "0" * 63 + "G"),
        ("logo", "A" * 64),
    ],
)
async def test_an_address_or_a_path_is_never_an_upload(edge: RunningEdge, field: str, value: str) -> None:
    request = msgspec.json.decode(encode_model(least(request_id=uuid4(), tenant_id="demo")))
    request["assets"] = {field: value}
    body = msgspec.json.encode({"records": [{"value": request}]})
    status, answer = await edge.post("/topics/lp.requests", body, JSON, private=True)
    assert status == 422 and f"assets.{field}: " in answer["message"] and "64 hex digits" in answer["message"]


async def test_tokens_of_other_roles_and_no_token_are_refused(edge: RunningEdge) -> None:
    assert (await call(edge, "POST", "/uploads", PHOTO, ANALYST))[0] == 403
    assert (await call(edge, "POST", "/uploads", PHOTO, "wrong"))[0] == 401
    assert (await call(edge, "GET", "/uploads", token=ANALYST))[0] == 403
    async with edge.session.post(f"{edge.public}/uploads", data=PHOTO) as answer:
        assert answer.status == 404, "the public listener has no such route"


async def test_what_is_no_picture_is_refused_with_a_reason(edge: RunningEdge, objects: Objects) -> None:
    for body, words in ((HEIC, "file: is HEIC"), (b"", "file: is not a JPEG"), (PHOTO[:2_000], "file: is a damaged")):
        status, answer = await call(edge, "POST", "/uploads", body)
        assert status == 422 and words in answer["message"], answer
    assert await keys_of(objects, "demo") == []


async def test_a_body_over_the_limit_is_refused_before_it_is_read(objects: Objects) -> None:
    async with running_edge(objects=objects, edge_max_upload_bytes=2**16) as edge:
        status, answer = await call(edge, "POST", "/uploads", b"\xff\xd8\xff" + b"\x00" * 2**16)
        assert (status, answer["error_code"]) == (413, 413)


async def test_a_tenants_rate_holds_for_uploads(objects: Objects) -> None:
    async with running_edge(objects=objects, edge_tenant_rate=0.3) as edge:
        statuses = [(await call(edge, "POST", "/uploads", b"no picture"))[0] for _ in range(12)]
        assert statuses[:3] == [422] * 3 and 429 in statuses


async def test_one_tenants_uploads_are_encoded_one_after_the_other(edge: RunningEdge) -> None:
    bodies = [encoded(photo(800 + step, 600), "JPEG") for step in range(4)]
    statuses = sorted(
        status for status, _ in await asyncio.gather(*(call(edge, "POST", "/uploads", b) for b in bodies))
    )
    assert statuses[0] == 200 and set(statuses) <= {200, 429} and 429 in statuses


async def test_uploads_are_listed_and_deleted_with_their_files(edge: RunningEdge, objects: Objects) -> None:
    first, second, rivals = await uploaded(edge, PHOTO), await uploaded(edge, SMALL), await uploaded(edge, PHOTO, RIVAL)
    assert await call(edge, "GET", "/uploads") == (200, {"uploads": sorted((first.upload, second.upload))})
    assert (await call(edge, "DELETE", f"/uploads/{first.upload}", token=RIVAL))[0] == 204, "only its own is gone"
    assert await keys_of(objects, "rival") == [] and rivals.upload == first.upload
    assert (await call(edge, "DELETE", f"/uploads/{first.upload}"))[0] == 204
    assert (await call(edge, "DELETE", f"/uploads/{first.upload}"))[0] == 204
    assert await call(edge, "GET", "/uploads") == (200, {"uploads": [second.upload]})
    assert all(second.upload[:32] in key for key in await keys_of(objects, "demo"))
    assert (await asked(edge, logo=first.upload))[0] == 422


class KilledError(Exception):
    """The end of a process."""


class Dying:
    """A store whose process dies before the write with this number."""

    def __init__(self, objects: Objects, writes: int) -> None:
        self._objects = objects
        self._left = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def put(self, *values: Any) -> None:
        if self._left == 0:
            raise KilledError
        self._left -= 1
        await self._objects.put(*values)


@pytest.mark.parametrize("writes", range(6))
async def test_an_upload_that_was_killed_cannot_be_named_and_can_be_repeated(objects: Objects, writes: int) -> None:
    process = DrawingProcess()
    dying: Any = Dying(objects, writes)
    with pytest.raises(KilledError):
        await UploadStore(dying, process).add("demo", PHOTO)
    whole = UploadStore(objects, process)
    assert await whole.ids("demo") == []
    upload = await whole.add("demo", PHOTO)
    process.close()
    assert await whole.ids("demo") == [upload.upload]
    found = await uploads_of(objects, "demo", Assets(picture=upload.upload))
    assert found.picture == upload
    assert set(await keys_of(objects, "demo")) == {
        f"uploads/demo/{upload.upload}.json", *(file.key for file in (*upload.pictures, upload.logo))
    }  # fmt: skip


async def test_a_killed_drawing_process_is_an_answer_that_says_try_again(edge: RunningEdge) -> None:
    running = asyncio.create_task(call(edge, "POST", "/uploads", encoded(photo(3_000, 2_000), "JPEG")))
    while edge.process._pool is None or not edge.process._pool._processes:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    for pid in list(edge.process._pool._processes):
        os.kill(pid, signal.SIGKILL)
    status, answer = await running
    assert status == 503 and "try again" in answer["message"]
    await uploaded(edge, PHOTO)


async def test_a_tenant_has_a_bounded_number_of_uploads(edge: RunningEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.pictures.uploads.MOST_UPLOADS", 1)
    await uploaded(edge, PHOTO)
    status, answer = await call(edge, "POST", "/uploads", SMALL)
    assert status == 409 and "delete" in answer["message"]
    await uploaded(edge, PHOTO)
    await uploaded(edge, SMALL, RIVAL)


async def test_without_the_store_nothing_is_taken_and_requests_pass(
    edge: RunningEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await uploaded(edge, PHOTO)

    async def away(*_: object) -> None:
        raise Retryable("S3 bucket tests: away")

    monkeypatch.setattr(Objects, "get", away)
    assert (await call(edge, "POST", "/uploads", SMALL))[0] == 503
    assert (await asked(edge, picture=own.upload))[0] == 200, "the worker checks it again"


async def test_the_worker_names_the_field_of_an_unknown_upload(objects: Objects) -> None:
    with pytest.raises(DecodeError) as refused:
        await uploads_of(objects, "demo", Assets(logo="0" * 64))
    assert refused.value.field == "assets.logo"
