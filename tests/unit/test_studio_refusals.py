"""Refusals of the studio come at the form, in the visitor's language, and lose no typed text."""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from edge_listeners import ANALYST, TOKEN, RunningEdge
from raw_http import ask as ask_raw
from raw_http import request
from test_studio_pages import NamedSessions, ask, form_token, studio_edge
from variant_pages import source_of

from infra.s3.objects import StoredObject
from infra.tenants import digest_of
from processors.pages import uploads as rules
from processors.studio.words import WORDS
from schemas.errors import DecodeError, Retryable
from schemas.generation import encode_model
from schemas.uploads import PictureFile, Upload
from streams.edge.http.errors import HttpError
from streams.edge.studio.auth import WORD_OF, WORD_OF_UPLOAD
from streams.edge.studio.forms import EMPTY
from streams.pictures.stored import source_key
from streams.pictures.uploads import HERO, UploadRefused, manifest_key

DAY_S = 86_400
SMALL, LARGE, NONE = "a" * 64, "b" * 64, "c" * 64
TYPED = EMPTY | {
    "name": "凪",
    "industry": "美容",
    "keywords": "髪, 眉",
    "prices": "カット 5,500円〜",
    "phone": "03-0000-0000",
}
ENGLISH = re.compile(r"[A-Za-z]{4,}")


class Objects(dict[str, bytes]):
    """An object store in memory."""

    async def get(self, key: str) -> StoredObject | None:  # type: ignore[override]
        return StoredObject(self[key], "application/json", "") if key in self else None


class Refusing:
    """A store of uploads that refuses each file."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def add(self, *_: object) -> None:
        raise self.error


@pytest.fixture
async def edge() -> AsyncIterator[RunningEdge]:
    async with studio_edge() as one:
        one.services.objects = Objects()
        for upload_id, width in ((SMALL, 300), (LARGE, 900)):
            file = PictureFile(key="assets/x.webp", suffix="webp", width=9, height=9)
            upload = Upload(upload=upload_id, width=width, height=width * 2 // 3, pictures=(file,), logo=file)
            one.services.objects[manifest_key("demo", upload_id)] = encode_model(upload)
        yield one


def told(html: str) -> str:
    """Return the text of the page's alert, without names of files and formats."""
    [text] = re.findall(r'role="alert"[^>]*>(.*?)</(?:p|div)>', html, re.DOTALL)
    return re.sub(r"<[^>]*>", "", text)


# -- pictures and variants that cannot be used -------------------------------------------------------------


@pytest.mark.parametrize(("field", "upload"), [("picture", SMALL), ("picture", NONE), ("logo", NONE)])
@pytest.mark.parametrize("lang", ["ja", "en"])
async def test_an_upload_that_cannot_be_used_comes_back(edge: RunningEdge, field: str, upload: str, lang: str) -> None:
    fields = TYPED | {"request_id": str(uuid4()), "picture": LARGE, field: upload}
    status, html, _ = await ask(edge, f"/requests?lang={lang}", fields)
    assert (status, edge.records) == (422, [])
    assert WORDS[lang][f"error_{field}"] in html and f'id="{field}-error"' in html
    assert all(f'value="{TYPED[name]}"' in html for name in ("name", "industry", "keywords", "phone"))
    assert TYPED["prices"] in html and upload not in html, "the form can be sent without it"
    assert (LARGE in html) == (field == "logo")


async def test_good_pictures_are_sent_and_the_rest_is_checked_later(edge: RunningEdge) -> None:
    fields = TYPED | {"request_id": str(uuid4()), "picture": LARGE, "logo": SMALL}
    assert (await ask(edge, "/requests", fields))[0] == 303

    async def away(_: str) -> None:
        raise Retryable("S3 is away")

    edge.services.objects.get = away
    assert (await ask(edge, "/requests", fields | {"picture": NONE}))[0] == 303 and len(edge.records) == 2


@pytest.mark.parametrize("lang", ["ja", "en"])
async def test_a_variant_that_cannot_be_made_is_refused_at_its_form(edge: RunningEdge, lang: str) -> None:
    fields = {"change": "copy", "section:faq": "on", "section:price": "on", "brief": "短く", "request_id": str(uuid4())}
    status, html, _ = await ask(edge, f"/variants/demo-a?lang={lang}", fields)
    assert (status, edge.records) == (422, []) and "demo-a" in told(html) and "短く" in html
    source = source_of(source_of().request.model_copy(update={"tenant_id": "demo"}))
    edge.services.objects[source_key("demo-a")] = encode_model(source)
    status, html, _ = await ask(edge, f"/variants/demo-a?lang={lang}", fields)
    assert (status, edge.records) == (422, []) and ("入力どおり" if lang == "ja" else "holds facts") in told(html)
    assert 'value="copy" checked' in html
    del fields["section:price"]
    assert (await ask(edge, "/variants/demo-a", fields))[0] == 303 and len(edge.records) == 1


def test_the_words_name_the_limits() -> None:
    for lang in ("ja", "en"):
        numbers = {int(one.replace(",", "")) for one in re.findall(r"[\d,]*\d", WORDS[lang]["error_picture"])}
        assert numbers == {*HERO, rules.LONGEST_SIDE}
        unfit = WORDS[lang]["upload_unfit"]
        assert str(rules.LEAST_SIDE) in unfit and f"{rules.MOST_SIDE:,}" in unfit and str(rules.MOST_RATIO) in unfit
    pixels = sorted(most // rules.MEGA for most in set(rules.MOST_PIXELS.values()))
    assert re.findall(r"(\d+)(?= mega|\))", WORDS["en"]["upload_unfit"]) == [str(most) for most in pixels]
    assert all(f"{most * 100:,}万画素" in WORDS["ja"]["upload_unfit"] for most in pixels)


# -- errors in words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 405, 408, 409, 413, 415, 422, 429, 500, 501, 503])
async def test_an_error_page_is_in_the_visitors_language(edge: RunningEdge, status: int, monkeypatch: Any) -> None:
    async def fails(*_: object) -> None:
        raise HttpError(status, "English words of the API", retry_after_s=7)

    edge.services.directories.page = fails
    session = {"Cookie": f"lpstream_studio={TOKEN}"}
    for lang, sign in (("ja", "ください"), ("en", "")):
        async with edge.session.get(f"{edge.private}/studio/variants/demo-a?lang={lang}", headers=session) as answer:
            text = told(await answer.text())
            assert answer.status == status and sign in text and "English words" not in text
            assert lang == "en" or not ENGLISH.search(text)
            assert ("7" in text) == (status == 429)


async def test_an_error_inside_is_a_page_and_no_json(edge: RunningEdge) -> None:
    async def fails(*_: object) -> None:
        raise ValueError("odd")

    edge.services.directories.page = fails
    session = {"Cookie": f"lpstream_studio={TOKEN}"}
    async with edge.session.get(f"{edge.private}/studio/variants/demo-a?lang=ja", headers=session) as answer:
        html = await answer.text()
        assert answer.status == 500 and "内部でエラー" in told(html) and "odd" not in html
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_form_that_is_too_large_says_so_in_japanese(edge: RunningEdge) -> None:
    status, html, _ = await ask(edge, "/requests?lang=ja", TYPED | {"prices": "x" * 1_200_000})
    assert status == 413 and told(html) == WORDS["ja"]["error_large"]


HEIC = DecodeError("file", "is HEIC, which is not accepted; save it as JPEG or PNG and upload that")


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (HEIC, 422, "upload_unfit"),
        (UploadRefused(409, "too many"), 409, "upload_full"),
        (UploadRefused(429, "another"), 429, "upload_busy"),
        (Retryable("S3 is away"), 503, "stores_away"),
        (ValueError("odd"), 500, "error_inside"),
    ],
)
@pytest.mark.parametrize("lang", ["ja", "en"])
async def test_a_refused_upload_is_told_in_words(
    edge: RunningEdge, error: Exception, status: int, word: str, lang: str
) -> None:
    edge.services.uploads = Refusing(error)
    headers = {"Cookie": f"lpstream_studio={TOKEN}; lpstream_language={lang}", "X-Form-Token": form_token(TOKEN)}
    async with edge.session.post(f"{edge.private}/studio/uploads", data=b"x", headers=headers) as answer:
        said = await answer.json()
        assert (answer.status, said) == (status, {"error_code": status, "message": WORDS[lang][word]})
        assert ("Retry-After" in answer.headers) == (status in (429, 503))


async def test_an_upload_after_the_session_says_so_as_json(edge: RunningEdge) -> None:
    async with edge.session.post(f"{edge.private}/studio/uploads?lang=ja", data=b"x") as answer:
        assert (answer.status, (await answer.json())["message"]) == (401, WORDS["ja"]["session_over"])


def test_both_languages_have_the_words_of_all_errors() -> None:
    words = {*WORD_OF.values(), *WORD_OF_UPLOAD.values(), "error_form", "test_error_changed", "pilot_error_changed"}
    assert all(words <= WORDS[lang].keys() for lang in WORDS)


# -- form tokens -------------------------------------------------------------------------------------------


async def posted(edge: RunningEdge, token: str, form: str, **headers: str) -> int:
    url, headers = f"{edge.private}/studio/requests", {"Cookie": f"lpstream_studio={token}"} | headers
    async with edge.session.post(url, data=TYPED | {"form": form}, headers=headers) as answer:
        return answer.status


async def test_a_form_can_be_sent_after_a_new_login_until_tomorrow(edge: RunningEdge) -> None:
    now_s = 20_000.5 * DAY_S
    form = form_token(TOKEN, now_s)
    for days, status in ((0, 422), (1, 422), (2, 403), (-1, 403)):
        edge.services.sessions = NamedSessions(now_s + days * DAY_S)
        assert await posted(edge, TOKEN, form) == status, "422: it is admitted, and lacks a request id"
    edge.services.sessions = NamedSessions(now_s)
    for wrong in ("", "0" * 32, form_token(ANALYST, now_s), digest_of(TOKEN), "あ"):
        assert await posted(edge, TOKEN, wrong) == 403
    assert await posted(edge, TOKEN, form, Origin="https://evil.example") == 403
    assert await posted(edge, TOKEN, form, **{"Sec-Fetch-Site": "same-site"}) == 403


async def test_a_form_of_the_release_before_is_admitted_in_its_session(edge: RunningEdge) -> None:
    mine, other = (hmac.new(each.encode(), b"form", hashlib.sha256).hexdigest()[:32] for each in (TOKEN, ANALYST))
    assert await posted(edge, TOKEN, mine) == 422, "422: it is admitted, and lacks a request id"
    assert await posted(edge, TOKEN, other) == 403


@pytest.mark.parametrize("odd", ["\xff", "\xed\xa0\x80", "é"])
async def test_a_form_token_that_is_not_utf8_is_refused(edge: RunningEdge, odd: str) -> None:
    headers = (f"Cookie: lpstream_studio={TOKEN}", f"X-Form-Token: {odd}")
    answer = await ask_raw(edge.private, request(b"x", headers, "/studio/uploads"))
    assert answer.status == 403
