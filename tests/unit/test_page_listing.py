"""The studio's list of pages: unknown ids are listed separately, are bounded, and hide no known page."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from infra.clickhouse import map_queries
from infra.clickhouse.map_queries import PageTotals
from infra.tenants import Tenant
from processors.studio.pages import render
from processors.studio.words import WORDS
from schemas.errors import Retryable
from streams.edge.studio import listing
from streams.edge.studio.listing import Listing, PageList, page_list

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC)
ACME = Tenant(id="acme", lp_ids=["own-site"])


def seen(lp_id: str, pageviews: int) -> PageTotals:
    return PageTotals(lp_id, pageviews, 0, 0)


class Bucket:
    """A fake S3 with page folders. With `names` None, every call fails."""

    def __init__(self, names: list[str] | None) -> None:
        self.names, self.asked = names, 0

    async def folders(self, prefix: str, most: int) -> list[str]:
        self.asked += 1
        if self.names is None:
            raise Retryable("S3: away")
        return [name for name in self.names if f"pages/{name}".startswith(prefix)][:most]


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


async def listed(bucket: Bucket, lately: tuple[str, ...] = ()) -> PageList:
    return await Listing(None, bucket).of(ACME, START, END, lately)  # type: ignore[arg-type]


async def test_unknown_ids_are_listed_separately(traffic: dict[str, int]) -> None:
    traffic |= {"acme-1": 5, "own-site": 2, "acme-buy-at-evil.example": 900}
    found = await listed(Bucket(["acme-1", "acme-2", "rival-1"]))
    assert [one.lp_id for one in found.known] == ["acme-1", "own-site"]
    assert [one.lp_id for one in found.unknown] == ["acme-buy-at-evil.example"] and not found.more


async def test_many_made_up_ids_hide_no_known_page(traffic: dict[str, int]) -> None:
    traffic |= {f"acme-fake{number}": 1_000 + number for number in range(5_000)} | {"acme-1": 5, "own-site": 2}
    found = await listed(Bucket([*(f"acme-0{number:03}" for number in range(200)), "acme-1"]), ("acme-1", "acme-gone"))
    assert [one.lp_id for one in found.known] == ["acme-1", "own-site"]
    assert len(found.unknown) == listing.MOST_UNKNOWN and found.more
    assert found.unknown[0].lp_id == "acme-fake4999"


async def test_without_s3_only_the_tenants_listed_pages_are_known(traffic: dict[str, int]) -> None:
    traffic |= {"acme-1": 5, "own-site": 2}
    found = await listed(Bucket(None))
    assert [one.lp_id for one in found.known] == ["own-site"] and [one.lp_id for one in found.unknown] == ["acme-1"]


async def test_s3_is_queried_once_a_minute(traffic: dict[str, int]) -> None:
    bucket = Bucket(["acme-1"])
    mine = Listing(None, bucket)  # type: ignore[arg-type]
    for _ in range(3):
        await mine.of(ACME, START, END, ())
    assert bucket.asked == 1


def test_the_list_is_sorted_by_traffic_and_bounded() -> None:
    known = {f"p{number}" for number in range(250)}
    found = page_list([seen(f"p{number}", number) for number in range(300)] * 2, known)
    assert [one.pageviews for one in found.known] == list(range(249, 49, -1))
    assert len(found.unknown) == 20 and found.more


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_shows_both_lists_and_escapes_names(language: Any) -> None:
    pages = page_list([seen("acme-1", 3), seen("acme-<b>", 9)], {"acme-1"})
    caller = SimpleNamespace(role="analyst")
    values = {
        "visitor": SimpleNamespace(may_look=True, may_ask=False, form_token="x", tenant="acme", caller=caller),
        "files": dict.fromkeys(("css", "js", "icon"), "x"),
        "languages": dict.fromkeys(WORDS, "/studio"),
        "here": "home",
        "names": {},
        "most": 9,
        "requested": [],
    }
    html = render("home", language, pages=pages, **values)
    assert html.index("acme-1") < html.index('id="unknown"') < html.index("acme-&lt;b&gt;") and "<b>" not in html
