"""Uploads in requests and on pages: the tenant's own only, by id, with text and sizes."""

import asyncio
import io
import time
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import html5lib
import pytest
from page_requests import HOSTILE, INDUSTRIES, built_in, full, html_of, least
from picture_files import encoded, logo, photo
from PIL import Image

from infra.s3.objects import StoredObject
from processors.pages.brief import brief_of
from processors.pages.cache_keys import key_of
from processors.pages.page import og_image, page_warnings, thumbnail
from processors.pages.uploads import prepare
from schemas.codec import encode_framed
from schemas.errors import DecodeError, Retryable
from schemas.generation import GenerationRequest, Result, Step, decode_model, encode_model, model_from_object
from schemas.plan import Plan
from schemas.uploads import Upload, Uploads
from streams.generation import requests
from streams.pictures.uploads import manifest_key

PICTURE, FILES = prepare("t1", encoded(photo(900, 600), "JPEG"))
LOGO, _ = prepare("t1", encoded(logo(300, 100, "white"), "PNG"))
SMALL, _ = prepare("t1", encoded(photo(300, 200), "PNG"))
OWN = Uploads(picture=PICTURE, logo=LOGO)


def elements(html: str) -> list[Any]:
    """Return the elements of a page, as a browser parses it."""
    return [one for one in html5lib.parse(html, namespaceHTMLElements=False).iter() if isinstance(one.tag, str)]


@pytest.mark.parametrize("template", INDUSTRIES)
def test_every_design_shows_the_own_picture_and_logo(template: str) -> None:
    html = html_of(full(INDUSTRIES[template], assets={"picture_alt": "店の入り口"}), uploads=OWN)
    for file in PICTURE.pictures:
        assert f"../{file.key} {file.width}w" in html
    mark, hero = (one.attrib for one in elements(html) if one.tag == "img" and "upload-t1" in one.attrib["src"])
    assert (mark["alt"], mark["width"], mark["height"]) == ("麺屋 一", "300", "100") and "on-dark" in html
    assert (hero["alt"], hero["width"], hero["height"]) == ("店の入り口", "900", "600")
    assert html.count("class=brand") == 1, "the name stands in the footer only"


def test_a_picture_without_words_gets_the_name_of_the_business() -> None:
    assert html_of(least(), uploads=OWN).count('alt="麺屋 一"') == 2


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_words_of_a_picture_cannot_become_markup(text: str) -> None:
    found = elements(html_of(least(assets={"picture_alt": text[:200]}), uploads=OWN))
    assert [one.tag for one in found] == [one.tag for one in elements(html_of(least(), uploads=OWN))]
    assert not any(name.startswith("on") for one in found for name in one.attrib)


def test_the_words_of_a_picture_are_read_by_the_lint() -> None:
    request = least(assets={"picture_alt": "日本一の味"})
    assert any(each.detail.startswith("assets.picture_alt") for each in page_warnings(request, brief_of(request)))


def test_the_structured_data_names_the_own_picture_and_logo() -> None:
    html = html_of(least(), uploads=OWN)
    assert f'"logo": "http://edge.test/{LOGO.logo.key}"' in html and '"image": "http://edge.test/assets/upload-' in html


def test_copy_does_not_depend_on_pictures() -> None:
    plain, own = (brief_of(least(**rest)).fields for rest in ({}, {"assets": {"picture": PICTURE.upload}}))
    assert key_of(plain, 1, 1) == key_of(own, 1, 1)


@pytest.mark.parametrize("render", [og_image, thumbnail])
def test_cards_show_the_own_picture(render: Any) -> None:
    request = least()
    body = next(file.body for file in FILES if file.key == PICTURE.pictures[-1].key)
    with_own = Image.open(io.BytesIO(render(request, built_in(request), "restaurant", body))).convert("RGB")
    reds = sum(
        red > 180 and green < 60 and blue < 60 for red, green, blue in with_own.resize((60, 60)).get_flattened_data()
    )
    assert reds > 60


@pytest.mark.parametrize("value", ["https://example.com/x.png", "x", "0" * 63, "0" * 65, "G" * 64, "", 7, ["0" * 64]])
def test_only_an_id_names_an_upload(value: object) -> None:
    plain = least().model_dump(mode="json")
    with pytest.raises(DecodeError) as refused:
        model_from_object(GenerationRequest, {**plain, "assets": {"logo": value}})
    assert refused.value.field == "assets.logo"


class Worker:
    """The services that requests need, with uploads of tenant t1 and a record of sent steps."""

    def __init__(self, *uploads: Upload, away: bool = False) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.stored = {manifest_key("t1", each.upload): encode_model(each) for each in uploads}
        self.away = away
        self.settings = SimpleNamespace(lp_deadline_s=10)
        self.objects = self.results = self.copywriter = self

    async def get(self, key: str) -> StoredObject | None:
        if self.away:
            raise Retryable("S3: away")
        body = self.stored.get(key)
        return None if body is None else StoredObject(body, "application/json", "")

    async def begin(self, _: UUID, digest: str, __: Result | None, *, of_fields: str) -> tuple[set[str], None]:
        return {digest, of_fields}, None

    async def first(self, result: Result) -> bytes:
        return encode_model(result)

    async def lookup(self, _: object) -> None:
        return None

    async def send(self, topic: str, _: bytes, value: bytes) -> None:
        self.sent.append((topic, value))

    def progress(self, *_: object, **__: object) -> None:
        return None

    async def asked(self, value: bytes, age_s: float = 0) -> tuple[list[Result], list[Plan]]:
        """Return the results and the plans that follow from a request of this age."""
        message = SimpleNamespace(value=value, timestamp=time.time() - age_s)
        await requests.handle(cast(Any, self), message)
        steps = [decode_model(Step, value) for topic, value in self.sent if topic == "lp.steps"]
        plans = [model_from_object(Plan, step.input["plan"]) for step in steps]
        return [decode_model(Result, value) for topic, value in self.sent if topic == "lp.results"], plans


async def test_a_plan_carries_the_uploads_of_its_request() -> None:
    request = least(assets={"picture": PICTURE.upload, "logo": LOGO.upload})
    results, plans = await Worker(PICTURE, LOGO).asked(encode_model(request))
    assert results == [] and [plan.uploads for plan in plans] == [OWN] * 3


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("field", ["picture", "logo"])
async def test_an_unknown_upload_is_a_rejected_result_that_names_the_field(field: str, framed: bool) -> None:
    request = least(assets={field: "0" * 64})
    value = encode_framed("generation_request", request.model_dump(mode="json")) if framed else encode_model(request)
    results, plans = await Worker(PICTURE).asked(value)
    assert plans == [] and [(each.status, each.error and each.error.field) for each in results] == [
        ("rejected", f"assets.{field}")
    ]


async def test_an_upload_of_another_tenant_is_unknown() -> None:
    results, plans = await Worker(PICTURE).asked(encode_model(least(tenant_id="t2", assets={"logo": PICTURE.upload})))
    assert plans == [] and results[0].status == "rejected"


async def test_a_file_too_small_for_a_picture_fits_as_logo() -> None:
    results, _ = await Worker(SMALL).asked(encode_model(least(assets={"picture": SMALL.upload})))
    assert results[0].error is not None and results[0].error.field == "assets.picture"
    assert "at least 640 x 400" in results[0].error.detail
    _, plans = await Worker(SMALL).asked(encode_model(least(assets={"logo": SMALL.upload})))
    assert plans[0].uploads.logo == SMALL


async def test_a_request_waits_for_the_store_until_its_deadline() -> None:
    value = encode_model(least(assets={"logo": LOGO.upload}))
    worker = Worker(LOGO, away=True)
    asking = asyncio.create_task(worker.asked(value))
    await asyncio.sleep(0.1)
    assert not asking.done()
    worker.away = False
    _, plans = await asking
    assert plans[0].uploads.logo is not None
    _, plans = await Worker(LOGO, away=True).asked(value, age_s=11)
    assert plans[0].uploads == Uploads()
