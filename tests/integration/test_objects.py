"""Objects on a real S3 store: reads, writes, listings, and errors."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from patience import SLACK_S
from seaweedfs_bucket import Bucket

from infra.s3.objects import Objects
from schemas.errors import Refused, Retryable


async def test_an_object_is_returned_with_its_type_and_etag(objects: Objects) -> None:
    assert await objects.get("pages/x/index.html") is None
    for body in (b"<p>1</p>", b"<p>2</p>", "日本語".encode() * 100_000):
        await objects.put("pages/x/index.html", body, "text/html; charset=utf-8", "public, max-age=60")
        found = await objects.get("pages/x/index.html")
        assert found is not None and found.body == body and found.content_type == "text/html; charset=utf-8"
        again = await objects.get("pages/x/index.html")
        assert again is not None and again.etag == found.etag and found.etag.startswith('"')


async def test_keys_are_listed_by_prefix_and_deleted(objects: Objects) -> None:
    for key in ("copy/a/1.json", "copy/a/2.json", "copy/ab/3.json", "pages/4"):
        await objects.put(key, b"x", "text/plain", "no-store")
    assert sorted(await objects.keys("copy/a/")) == ["copy/a/1.json", "copy/a/2.json"]
    await objects.delete(["copy/a/1.json", "copy/a/none.json"])
    await objects.delete([])
    assert sorted(await objects.keys("")) == ["copy/a/2.json", "copy/ab/3.json", "pages/4"]


async def test_folders_are_listed_by_prefix(objects: Objects) -> None:
    for name in ("acme-1", "acme-2", "acmes-1", "rival-1"):
        for file in ("index.html", "source.json"):
            await objects.put(f"pages/{name}/{file}", b"x", "text/plain", "no-store")
    assert await objects.folders("pages/acme-", 10) == ["acme-1", "acme-2"]
    assert len(await objects.folders("pages/", 3)) == 3 and await objects.folders("pages/none-", 10) == []
    dated = await objects.dated("pages/acme-", 3)
    assert [key for key, _ in dated] == [
        "pages/acme-1/index.html",
        "pages/acme-1/source.json",
        "pages/acme-2/index.html",
    ]
    assert all(abs(at.timestamp() - time.time()) < 600 for _, at in dated)


async def test_only_older_objects_below_a_prefix_are_deleted(objects: Objects) -> None:
    await objects.put("copy/a/1.json", b"x", "text/plain", "no-store")
    await objects.put("pages/4", b"x", "text/plain", "no-store")
    hour = timedelta(hours=1)
    assert await objects.delete_older("copy/", datetime.now(UTC) - hour) == 0
    assert await objects.delete_older("copy/", datetime.now(UTC) + hour) == 1
    assert await objects.keys("") == ["pages/4"]


async def test_the_bucket_is_created_once(bucket: Bucket) -> None:
    fresh = Objects.open(bucket.url, "ap-northeast-1", bucket.key, bucket.secret, "another-bucket")
    assert await fresh.ensure_bucket() is True
    assert await fresh.ensure_bucket() is False


async def test_a_wrong_key_is_not_retryable(bucket: Bucket, objects: Objects) -> None:
    wrong = Objects.open(bucket.url, "ap-northeast-1", bucket.key, "wrong-secret", bucket.name)
    for work in (wrong.put("a", b"x", "text/plain", "no-store"), wrong.get("a")):
        with pytest.raises(Refused, match="LPSTREAM_S3"):
            await work


async def test_a_store_that_is_down_fails_quickly(bucket: Bucket, objects: Objects) -> None:
    bucket.server.kill()
    try:
        started = time.monotonic()
        for work in (objects.put("a", b"x", "text/plain", "no-store"), objects.get("a"), objects.keys("")):
            with pytest.raises(Retryable):
                await work
        assert time.monotonic() - started < SLACK_S
    finally:
        await asyncio.to_thread(bucket.server.restart)
