"""The studio's form, texts and languages, without a server."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from uuid import uuid4

import pytest
from multidict import CIMultiDict

import processors
from processors.studio.pages import render
from processors.studio.words import WORDS
from schemas.autopilot import StepName
from schemas.experiments import Goal, Policy, Status
from schemas.generation import Door, Stage
from streams.edge.studio import autopilot
from streams.edge.studio.auth import language_of
from streams.edge.studio.experiments import WRONG
from streams.edge.studio.forms import CHOSEN, EMPTY, FIELDS, PURPOSES, id_for, read
from streams.edge.studio.variants import CHANGES
from streams.pictures.maps import CLICKS, MapKind

GOOD = EMPTY | {"name": "麺屋 一", "industry": "飲食", "request_id": str(uuid4())}
TEMPLATES = Path(processors.__file__).parent / "templates" / "studio"


def test_a_form_is_read_into_a_request() -> None:
    given = GOOD | {
        "keywords": "ラーメン、 深夜営業,つけ麺",
        "prices": "ラーメン 900\n味玉　¥1,200円\n",
        "phone": "03-0000-0000",
    }
    _, page_request, errors = read(given, "acme")
    assert page_request is not None and errors == {}
    assert page_request.tenant_id == "acme" and page_request.keywords == ["ラーメン", "深夜営業", "つけ麺"]
    assert [(one.label, one.yen) for one in page_request.facts.prices] == [("ラーメン", 900), ("味玉", 1_200)]
    assert page_request.business.url is None and str(page_request.request_id) == given["request_id"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"industry": " "}, "industry"),
        ({"phone": "call me"}, "phone"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"form_url": "ftp://x"}, "form_url"),
        ({"keywords": ",".join("abcdefghijklmnopqrstuvw")}, "keywords"),
        ({"prices": "free"}, "prices"),
        ({"tone": "rude"}, "tone"),
        ({"request_id": "1"}, "other"),
    ],
)
def test_an_invalid_field_is_named_and_input_is_kept(change: dict[str, str], field: str) -> None:
    given, page_request, errors = read(GOOD | change, "acme")
    assert page_request is None and list(errors) == [field]
    assert errors[field].text in WORDS["ja"]
    assert given["industry"] == (GOOD | change)["industry"].strip()


def test_all_wrong_fields_are_named_at_once_with_lines_and_words() -> None:
    change = {
        "name": "x" * 101,
        "phone": "call me",
        "url": "nowhere",
        "keywords": f"ラーメン,{'長' * 60},深夜",
        "prices": f"カット 5500\n\n無料\n{'長' * 201} 900\nカラー 7,700円\nパーマ",
        "tone": "rude",
    }
    given, page_request, errors = read(GOOD | change, "acme")
    assert page_request is None and list(errors) == ["name", "keywords", "tone", "phone", "url", "prices"]
    assert errors["prices"].lines == (3, 4, 6), "lines as the person sees them, empty ones counted"
    assert errors["keywords"].words == ("長" * 20 + "…",)
    assert given["prices"] == change["prices"]


def test_the_lines_over_the_most_are_named() -> None:
    _, page_request, errors = read(GOOD | {"prices": "\n".join(f"味 {at}" for at in range(1, 53))}, "acme")
    assert page_request is None and errors["prices"].lines == (51, 52)
    many = ",".join(f"語{at}" for at in range(21))
    assert list(read(GOOD | {"keywords": many, "prices": "x"}, "acme")[2]) == ["keywords", "prices"]


def test_a_changed_form_is_another_request_and_the_same_form_is_not() -> None:
    forms = [GOOD, GOOD | {"keywords": " "}, GOOD | {"keywords": "つけ麺"}]
    ids = [id_for(page_request) for form in forms if (page_request := read(form, "acme")[1])]
    assert ids[0] == ids[1] != ids[2]


def test_a_form_cannot_change_the_tenant() -> None:
    _, page_request, _ = read(GOOD | {"tenant_id": "rival"}, "acme")
    assert page_request is not None and page_request.tenant_id == "acme"


def test_both_languages_have_every_text_that_templates_use() -> None:
    for name in WORDS["en"]:
        holes = [sorted(re.findall(r"\{\w+\}", WORDS[one][name])) for one in ("en", "ja")]
        assert holes[0] == holes[1], name
    used = {word for one in TEMPLATES.glob("*.j2") for word in re.findall(r"\bw\.(\w+)", one.read_text("utf-8"))}
    assert used and used <= WORDS["en"].keys()
    spelled = {f"stage_{one}" for one in get_args(Stage)} | {f"error_{one}" for one in FIELDS if one not in CHOSEN}
    spelled |= {f"kind_{one}" for one in get_args(MapKind)} | {f"elements_{one}" for one in CLICKS}
    spelled |= {f"total_{one}" for one in get_args(MapKind) if one != "scroll"} | {
        f"door_{one}" for one in get_args(Door)
    }
    spelled |= {f"test_status_{one}" for one in get_args(Status)} | {f"goal_{one.value}" for one in Goal}
    spelled |= {f"policy_{one}" for one in get_args(Policy)} | {f"change_{one}" for one in CHANGES} | {*WRONG.values()}
    spelled |= {f"pilot_step_{one}" for one in get_args(StepName)} | {*autopilot.WRONG.values()}
    # the details of these warnings are English
    codes = ("template_copy", "near_copy", "parent_copy", "pictures_not_stored", "picture_left_out")
    spelled |= {f"warning_{one}" for one in codes}
    assert spelled <= WORDS["en"].keys()
    assert [value for value, _ in PURPOSES["en"]] == [value for value, _ in PURPOSES["ja"]]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("en-GB,en;q=0.9", "en"),
        ("fr, en;q=0.5, ja;q=0.6", "ja"),
        ("fr", "ja"),
        ("", "ja"),
        ("en;q=zero, ja;q=0.1", "ja"),
        ("en;q=0", "ja"),
    ],
)
def test_the_language_follows_query_cookie_and_header(header: str, language: str) -> None:
    request: Any = SimpleNamespace(query={}, cookies={}, headers=CIMultiDict({"Accept-Language": header}))
    assert language_of(request) == language
    request.cookies = {"lpstream_language": "en"}
    assert language_of(request) == "en"
    request.query = {"lang": "ja"}
    assert language_of(request) == "ja"


def test_typed_text_is_escaped() -> None:
    evil = '"><script>alert(1)</script>{{ 7*7 }}'
    html = render(
        "error", "en", visitor=None, here="", files={"icon": "i", "css": "c", "js": "j"},
        languages={"ja": "/studio?lang=ja", "en": "/studio?lang=en"}, message=evil, status_code=422,
    )  # fmt: skip
    assert "<script>alert" not in html and "&lt;script&gt;" in html and "49" not in html
