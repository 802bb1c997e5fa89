"""Script tags with a digest: the edge serves the scripts that each release stored in the bucket."""

from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from edge_listeners import RunningEdge, running_edge
from raw_http import Reply, ask, request

from infra.kafka.topics import TopicOutcomes
from infra.s3.objects import Objects, StoredObject
from schemas.errors import Retryable
from streams.edge.site.snippet import Snippet
from streams.local import prepare
from streams.runtime.settings import Settings

NEW = Snippet.load()
OLD = Snippet(b"old script", b"{}", "00112233445566aa", "sha384-x")


class Bucket:
    """A bucket in memory that counts its reads, and that may be away."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredObject] = {}
        self.reads, self.away = 0, False

    async def ensure_bucket(self) -> bool:
        return False

    async def put(self, key: str, body: bytes, content_type: str, cache_control: str) -> None:
        self.stored[key] = StoredObject(body, content_type, '"1"')

    async def get(self, key: str) -> StoredObject | None:
        self.reads += 1
        if self.away:
            raise Retryable("away")
        return self.stored.get(key)


async def script(edge: RunningEdge, digest: str, own: Snippet = NEW) -> Reply:
    """Return the answer of an edge whose release has the script `own`."""
    edge.services.snippet = own
    return await ask(edge.public, request(b"", path=f"/t.{digest}.js", method="GET"))


@pytest.mark.parametrize(("own", "other"), [(NEW, OLD), (OLD, NEW)], ids=["after an update", "after a rollback"])
async def test_a_tag_of_another_release_is_served(own: Snippet, other: Snippet) -> None:
    bucket = Bucket()
    for release in (own, other):
        await release.store(cast(Objects, bucket))
    async with running_edge(objects=cast(Objects, bucket)) as edge:
        for release in (own, other):
            answer = await script(edge, release.digest, own)
            assert (answer.status, answer.body) == (200, release.body)
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            assert "immutable" in answer.headers["cache-control"]
        assert "sourcemap" not in answer.headers, "the map is that of this release's script"
        await script(edge, other.digest, own)
        assert bucket.reads == 1


async def test_an_unknown_digest_is_looked_up_once() -> None:
    bucket = Bucket()
    async with running_edge(objects=cast(Objects, bucket)) as edge:
        assert [(await script(edge, "00112233445566bb")).status for _ in range(3)] == [404] * 3
        assert bucket.reads == 1
        for wrong in ("0011", "00112233445566bb00", "00112233445566BB", "x" * 16):
            assert (await script(edge, wrong)).status == 404
        assert bucket.reads == 1


async def test_a_bucket_that_is_away_is_503_and_not_remembered() -> None:
    bucket = Bucket()
    await OLD.store(cast(Objects, bucket))
    async with running_edge(objects=cast(Objects, bucket)) as edge:
        bucket.away = True
        assert (await script(edge, OLD.digest)).status == 503
        assert (await script(edge, NEW.digest)).status == 200, "its own script needs no bucket"
        bucket.away = False
        assert (await script(edge, OLD.digest)).status == 200


async def test_the_preparation_stores_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, no_store = Bucket(), AsyncMock()
    fakes: dict[str, Any] = {"ensure_topics": AsyncMock(return_value=TopicOutcomes())}
    fakes |= {"migrate": AsyncMock(return_value=())}
    fakes |= {"open_writer": lambda *_: no_store, "open_objects": lambda _: bucket}
    for name, fake in fakes.items():
        monkeypatch.setattr(prepare, name, fake)
    lines: list[str] = []
    await prepare.prepare(Settings(), lines.append)
    assert bucket.stored[f"snippets/t.{NEW.digest}.js"].body == NEW.body
    assert any(f"t.{NEW.digest}.js" in line for line in lines)
