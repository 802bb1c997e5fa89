"""The studio's list of pages: all pages, newest first, by name; unknown ids stand apart."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from infra.clickhouse import map_queries
from infra.clickhouse.map_queries import PageTotals
from infra.s3.objects import StoredObject
from infra.tenants import Tenant
from processors.studio.pages import render
from processors.studio.words import WORDS
from schemas.errors import Retryable
from streams.edge.studio import directory, listing
from streams.edge.studio.directory import About, Directories, Page, about_of
from streams.edge.studio.listing import Listing, page_list

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC)
ACME = Tenant(id="acme", lp_ids=["own-site"])


def seen(lp_id: str, pageviews: int) -> PageTotals:
    return PageTotals(lp_id, pageviews, 0, 0)


def source(name: str, **rest: Any) -> bytes:
    return json.dumps({"request": {"request_id": "r1", "business": {"name": name}, **rest}, "copy_": {}}).encode()


def folder_of(name: str) -> str:
    return "variants" if name.endswith("variant") else "pages"


class Bucket:
    """A fake S3 with pages, each made a minute after the page before. With `broken`, every call fails."""

    def __init__(self, *names: str, sources: dict[str, bytes] | None = None) -> None:
        self.names, self.sources = list(names), sources or {}
        self.broken, self.looks, self.reads = False, 0, 0

    async def dated(self, beginning: str, most: int) -> list[tuple[str, datetime]]:
        self.looks += 1
        self.check()
        keys = []
        for at, name in enumerate(self.names):
            made, folder = START + timedelta(minutes=at), folder_of(name)
            keys += [(f"{folder}/{name}/index.html", END), (f"{folder}/{name}/source.json", made)]
        return [(key, at) for key, at in sorted(keys) if key.startswith(beginning)][:most]

    async def get(self, key: str) -> StoredObject | None:
        self.reads += 1
        self.check()
        folder, name, _ = key.split("/")
        if name not in self.names or folder != folder_of(name):
            return None
        return StoredObject(self.sources.get(name, source(f"店 {name}")), "application/json", "")

    def check(self) -> None:
        if self.broken:
            raise Retryable("S3: away")


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return pageviews by page; the fake queries read this dict."""
    views: dict[str, int] = {}

    async def pages(_: Any, prefix: str, listed: list[str], *__: Any, any_page: bool, most: int) -> list[PageTotals]:
        ours = [one for one in views if any_page or one.startswith(prefix) or one in listed]
        return [seen(one, views[one]) for one in sorted(ours, key=lambda one: -views[one])[:most]]

    async def pages_named(_: Any, lp_ids: list[str], *__: Any) -> list[PageTotals]:
        assert len(lp_ids) <= 50
        return [seen(one, views[one]) for one in lp_ids if one in views]

    monkeypatch.setattr(map_queries, "pages", pages)
    monkeypatch.setattr(map_queries, "pages_named", pages_named)
    return views


def listing_of(bucket: Any) -> Listing:
    return Listing(None, Directories(bucket))  # type: ignore[arg-type]


async def ids(mine: Listing, text: str = "", number: int = 1) -> list[str]:
    return [page.lp_id for page in (await mine.of(ACME, text, number)).rows]


async def test_pages_are_listed_newest_first_with_their_names() -> None:
    found = await listing_of(Bucket("acme-1", "acme-2", "rival-1")).of(ACME, "", 1)
    assert [page.lp_id for page in found.rows] == ["acme-2", "acme-1", "own-site"]
    assert [page.about.name if page.about else "" for page in found.rows] == ["店 acme-2", "店 acme-1", ""]
    assert (found.found, found.last) == (3, 1)


async def test_a_search_finds_names_and_ids_in_any_width() -> None:
    sources = {"acme-1": source("ﾗｰﾒﾝ Ｂar"), "acme-2": source("サロン 凪")}
    mine = listing_of(Bucket("acme-1", "acme-2", sources=sources))
    assert await ids(mine, "ラーメン bar") == ["acme-1"]
    assert await ids(mine, "凪") == ["acme-2"]
    assert await ids(mine, "OWN") == ["own-site"]
    assert await ids(mine, "nothing") == []


async def test_a_search_waits_for_names_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(*(f"acme-{number}" for number in range(40)))
    monkeypatch.setattr(listing, "SEARCH_S", 0.01)

    async def slowly(_: str) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(bucket, "get", slowly)
    found = await listing_of(bucket).of(ACME, "凪", 1)
    assert found.unread and found.rows == []


@pytest.mark.parametrize(("number", "shown"), [(-5, 1), (0, 1), (2, 2), (3, 3), (10**6, 3)])
def test_the_list_has_parts_of_fifty(number: int, shown: int) -> None:
    pages = [Page(f"acme-{at}", START, published=True) for at in range(120)]
    found = page_list(pages, "", number)
    assert (found.number, found.last, found.found) == (shown, 3, 120)
    assert len(found.rows) == (20 if shown == 3 else 50)


async def test_a_variant_is_known_but_not_listed() -> None:
    mine = listing_of(Bucket("acme-1", "acme-variant"))
    assert await ids(mine) == ["acme-1", "own-site"]
    variant = await mine._directories.page(ACME, "acme-variant")
    assert variant is not None and not variant.published and variant.about is not None
    assert variant.source == "variants/acme-variant/source.json"


async def test_a_page_made_since_the_last_listing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "KEEP_S", 60.0)
    monkeypatch.setattr(directory, "LONGEST_S", 60.0)
    bucket = Bucket("acme-1")
    mine = listing_of(bucket)
    await ids(mine)
    bucket.names += ["acme-2", "acme-variant"]
    for name, published in (("acme-2", True), ("acme-variant", False)):
        page = await mine._directories.page(ACME, name)
        assert page is not None and page.about is not None and page.published is published
    assert await mine._directories.page(ACME, "acme-404") is None


@pytest.mark.parametrize(
    ("body", "about"),
    [
        (source("凪", door="studio"), About("凪", "studio", "r1", words="凪")),
        (source("凪", door="<b>", variant=None), About("凪", None, "r1", words="凪")),
        (source("凪", variant={"of": "acme-1", "change": "copy"}), About("凪", None, "r1", "acme-1", "copy", "凪")),
        (b"{}", About()),
        (b"\xff", About()),
        (b'{"request": {"business": null}}', About()),
        (b'{"request": {"request_id": "r", "business": {"name": "x"}, "variant": [1]}}', About()),
    ],
)
def test_a_source_says_name_door_and_parent(body: bytes, about: About) -> None:
    assert about_of(body) == about


async def test_names_are_read_once_and_erased_pages_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "KEEP_S", 0.0)
    monkeypatch.setattr(directory, "SHARE", 0.0)
    bucket = Bucket("acme-1", "acme-2")
    mine = listing_of(bucket)
    assert await ids(mine) == await ids(mine) == ["acme-2", "acme-1", "own-site"]
    assert (bucket.looks, bucket.reads) == (4, 2)
    bucket.names.remove("acme-2")
    assert await ids(mine) == ["acme-1", "own-site"]
    assert "acme-2" not in (await mine._directories.of(ACME)).pages


async def test_without_s3_the_last_list_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "KEEP_S", 0.0)
    monkeypatch.setattr(directory, "SHARE", 0.0)
    bucket = Bucket("acme-1")
    mine, fresh = listing_of(bucket), listing_of(bucket)
    await ids(mine)
    bucket.broken = True
    assert await ids(mine) == ["acme-1", "own-site"]
    assert await ids(fresh) == ["own-site"]


async def test_unknown_ids_are_counted_separately(traffic: dict[str, int]) -> None:
    traffic |= {"acme-1": 5, "own-site": 2, "acme-buy-at-evil.example": 900}
    mine = listing_of(Bucket("acme-1", "acme-2"))
    rows = (await mine.of(ACME, "", 1)).rows
    counts = await mine.counts(ACME, rows, START, END)
    assert {lp_id: counts.totals[lp_id].pageviews for lp_id in ("acme-1", "own-site")} == {"acme-1": 5, "own-site": 2}
    assert [one.lp_id for one in counts.unknown] == ["acme-buy-at-evil.example"] and not counts.more


async def test_many_made_up_ids_hide_no_count_of_a_page(traffic: dict[str, int]) -> None:
    traffic |= {f"acme-fake{number}": 1_000 + number for number in range(5_000)} | {"acme-1": 5, "own-site": 2}
    mine = listing_of(Bucket(*(f"acme-0{number:03}" for number in range(200)), "acme-1"))
    counts = await mine.counts(ACME, (await mine.of(ACME, "", 1)).rows, START, END)
    assert counts.totals["acme-1"].pageviews == 5
    assert len(counts.unknown) == listing.MOST_UNKNOWN and counts.more
    assert counts.unknown[0].lp_id == "acme-fake4999"


async def test_five_thousand_pages_are_listed_without_reading_all_names() -> None:
    bucket = Bucket(*(f"acme-{number:05}" for number in range(5_000)))
    mine = listing_of(bucket)
    found = await mine.of(ACME, "", 1)
    assert len(found.rows) == 50 and found.found == 5_001
    assert all(page.about is not None for page in found.rows)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_shows_both_lists_and_escapes_names(language: Any) -> None:
    caller = SimpleNamespace(role="analyst")
    row = {"lp_id": "acme-1", "name": "<b>凪", "door": "API", "made": "2026-11-01", "iso": "2026", "address": None,
           "totals": seen("acme-1", 3), "experiment": None, "waits": False}  # fmt: skip
    values = {
        "visitor": SimpleNamespace(may_look=True, may_ask=False, form_token="x", tenant="acme", caller=caller),
        "files": dict.fromkeys(("css", "js", "icon"), "x"),
        "languages": dict.fromkeys(WORDS, "/studio"),
        "counts": listing.Counts({}, [seen("acme-<b>", 9)], more=False),
        "pages": SimpleNamespace(number=1, unread=False),
        "here": "home", "most": 9, "requested": [], "waiting": [], "rows": [row], "text": "",
        "before": None, "after": None, "shown": "",
    }  # fmt: skip
    html = render("home", language, **values)
    assert html.index("acme-1") < html.index('id="unknown"') < html.index("acme-&lt;b&gt;") and "<b>" not in html
    waits = render("home", language, **values | {"waiting": [{"lp_id": "acme-<i>", "name": "<b>"}]})
    assert 'href="/studio/experiments/acme-%3Ci%3E">&lt;b&gt;</a>' in waits
    searched = render("home", language, **values | {"text": '"><script>', "rows": []})
    assert "<script>" not in searched.replace('<script src="/studio/static/x" defer></script>', "")
    assert 'id="unknown"' not in searched
