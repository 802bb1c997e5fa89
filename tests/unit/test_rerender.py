"""Pages for another public address: what is absolute is rendered anew, the rest is relative."""

import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
from buckets import Bucket
from page_requests import INDUSTRIES, full, html_of
from picture_files import encoded, photo

from processors.pages.brief import brief_of
from processors.pages.copywriting import assemble
from processors.pages.curated import assets_at
from processors.pages.page import optimise, pictures
from processors.pages.uploads import prepare
from schemas.generation import Variant, encode_model
from schemas.plan import Source
from schemas.uploads import Uploads
from streams.operate.rerender import Rerender, rendered
from streams.pictures.screenshots import shots_of
from streams.pictures.stored import html_key, source_key

OLD, NEW = "https://old.example", "https://new.example/sites"
LP = "acme-1"
KEY = f"pages/{LP}/index.html"


def source(industry: str = "beauty") -> Source:
    request = full(industry)
    brief = brief_of(request)
    return Source(request=request, copy_=assemble(brief, {}), template=brief.template)


def published(base_url: str = OLD, **others: bytes) -> Any:
    page, _ = rendered(source(), LP, base_url)
    return Bucket(**{KEY: page, source_key(LP): encode_model(source())} | others)


async def test_a_variant_is_rendered_anew_where_it_is_stored() -> None:
    request = source().request.model_copy(update={"variant": Variant(of="acme-2", change="order")})
    order = ("hero", "faq", "problems", "solution", "benefits", "closing")
    variant = source().model_copy(update={"request": request, "order": order, "calls": ("faq",)})
    page, _ = rendered(variant, LP, OLD)
    assert page.index(b"data-section=faq") < page.index(b"data-section=problems") and b"faq-call" in page
    keys = html_key(LP, variant=True), source_key(LP, variant=True)
    bucket: Any = Bucket(**dict(zip(keys, (page, encode_model(variant)), strict=True)))
    result = await Rerender(bucket, NEW).run([LP])
    assert (result.changed, result.problems) == ([LP], [])
    assert bucket.objects[keys[0]] == rendered(variant, LP, NEW)[0] and html_key(LP) not in bucket.objects


@pytest.mark.parametrize("industry", INDUSTRIES)
def test_a_page_loads_nothing_from_an_absolute_address(industry: str) -> None:
    html = optimise(html_of(full(industry), base_url=OLD)).decode()
    loaded = re.findall(r'(?:src|srcset|imagesrcset)=(?:"([^"]*)"|([^\s>]+))', html)
    addresses = [part.split()[0] for both in loaded for part in "".join(both).split(", ")]
    assert len(addresses) >= 6
    assert all(address.startswith(("../assets/", "../t.js")) for address in addresses)
    assert urljoin(f"{NEW}/lp/x", "../assets/a.avif") == f"{NEW}/assets/a.avif"


def test_what_others_read_is_absolute() -> None:
    html = html_of(full("beauty"), base_url=NEW)
    for name in ("canonical", "og:url", "og:image"):
        tag = next(tag for tag in re.findall(r"<(?:link|meta)[^>]*>", html) if re.search(rf"={name}[\s>]", tag))
        assert NEW in tag, name
    structured = json.loads(html.split("<script type=application/ld+json>")[1].split("</script>")[0])
    assert structured["image"].startswith(f"{NEW}/assets/")
    assert structured["mainEntityOfPage"].startswith(f"{NEW}/lp/")


async def test_a_new_address_changes_canonical_preview_and_structured_data() -> None:
    bucket = published()
    result = await Rerender(bucket, NEW).run([LP])
    assert (result.pages, result.changed, result.problems) == (1, [LP], [])
    html = bucket.objects[KEY].decode()
    assert OLD not in html and html.count(NEW) >= 5
    assert bucket.objects[KEY] == rendered(source(), LP, NEW)[0]
    assert {asset.key for asset in pictures(brief_of(source().request))} <= bucket.objects.keys()


async def test_rendering_again_changes_nothing() -> None:
    bucket = published(NEW)
    before = dict(bucket.objects)
    result = await Rerender(bucket, NEW).run([LP])
    assert (result.pages, result.changed) == (1, [])
    assert bucket.objects == before


async def test_a_dry_run_writes_nothing() -> None:
    bucket = published()
    before = dict(bucket.objects)
    assert (await Rerender(bucket, NEW, dry_run=True).run([LP])).changed == [LP]
    assert bucket.objects == before


async def test_a_page_keeps_its_words_and_its_design() -> None:
    bucket = published()
    before = bucket.objects[KEY].decode()
    await Rerender(bucket, NEW).run([LP])
    assert bucket.objects[KEY].decode().replace(NEW, OLD) == before
    assert rendered(source().model_copy(update={"template": "clinic"}), LP, OLD)[1].template == "clinic"


def test_a_page_keeps_the_customers_own_picture() -> None:
    picture, _ = prepare("t1", encoded(photo(900, 600), "JPEG"))
    page, _ = rendered(source().model_copy(update={"uploads": Uploads(picture=picture)}), LP, NEW)
    assert all(file.key in page.decode() for file in picture.pictures)


async def test_screenshots_of_the_old_page_are_deleted() -> None:
    page = published().objects[KEY]
    old, other = f"{shots_of(page)}1280x800-1.png", f"{shots_of(b'another')}1280x800-1.png"
    bucket = published(**{old: b"png", other: b"png"})
    await Rerender(bucket, NEW).run([LP])
    assert old not in bucket.objects and other in bucket.objects


async def test_a_page_that_is_erased_meanwhile_does_not_come_back() -> None:
    bucket = published()
    put = bucket.put

    async def erased_first(key: str, *rest: Any) -> None:
        bucket.objects.pop(source_key(LP), None)
        await put(key, *rest)

    bucket.put = erased_first
    await Rerender(bucket, NEW).run([LP])
    assert KEY not in bucket.objects


async def test_a_page_that_cannot_be_rendered_is_named_and_kept() -> None:
    bucket = published(**{"pages/acme-2/index.html": b"<html>", "pages/acme-3/index.html": b"<html>"})
    bucket.objects[source_key("acme-3")] = b"{}"
    result = await Rerender(bucket, NEW).run(["acme-2", "acme-3", "acme-4", LP])
    assert result.changed == [LP] and result.pages == 3
    assert [problem.split(":")[0] for problem in result.problems] == ["acme-2", "acme-3"]
    assert bucket.objects["pages/acme-2/index.html"] == b"<html>"


def test_a_page_read_elsewhere_has_its_pictures_from_the_public_listener() -> None:
    html = assets_at(published().objects[KEY], OLD).decode()
    assert "../assets/" not in html and f"{OLD}/assets/" in html
