"""A screenshot that is taken during an erasure does not stay."""

from typing import Any

import pytest
from buckets import Bucket

from streams.operate.erasure import Erasing, Meant, PageFiles
from streams.pictures.screenshots import Shots, shots_of
from streams.pictures.stored import html_key, source_key
from streams.runtime.settings import Settings

LP = "acme-1"
OLD, NEW = b"<html>1", b"<html>2"


class Locks:
    """No other process takes screenshots."""

    async def once(self, key: str, look: Any, make: Any, **_: float) -> bytes:
        return await make()  # type: ignore[no-any-return]


class Browser:
    """Erases or replaces the page while it takes the screenshot."""

    def __init__(self, bucket: Bucket, html: bytes | None) -> None:
        self._bucket, self._html = bucket, html

    async def run(self, *_: object) -> bytes:
        if self._html is None:
            await self._bucket.delete([html_key(LP)])
        else:
            self._bucket.objects[html_key(LP)] = self._html
        return b"png"


@pytest.mark.parametrize(("html", "stored"), [(OLD, 1), (None, 0), (NEW, 0)])
async def test_a_screenshot_is_stored_only_of_the_page_as_it_is(html: bytes | None, stored: int) -> None:
    bucket: Any = Bucket(**{html_key(LP): OLD})
    browser: Any = Browser(bucket, html)
    shots = Shots(bucket, None, browser, "off")  # type: ignore[arg-type]
    shots._chromium, shots._locks = "/chromium", Locks()  # type: ignore[assignment]
    assert await shots.get(LP, 400, 700) == (b"png" if stored else "no_shot_failed")
    assert len(await bucket.names("shots/")) == stored


async def test_an_erasure_deletes_a_screenshot_stored_since_its_look() -> None:
    shot = f"{shots_of(OLD)}400x700-2.png"
    bucket = Bucket(**{html_key(LP): OLD, source_key(LP): b"{}"})
    erasing = Erasing(Settings(s3_access_key_id="key", s3_secret_access_key="secret"), Meant((LP,)), lambda _: None)
    erasing._objects = bucket  # type: ignore[assignment]
    page = PageFiles(LP, [html_key(LP), source_key(LP)], [], None, shots_of(OLD))
    bucket.objects[shot] = b"png"
    await erasing._files([page])
    assert not await bucket.names("shots/") and not await bucket.names("pages/")
    await erasing.__aexit__()
