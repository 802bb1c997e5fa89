"""From a finding or a winner to the next variant: forms and requests over HTTP, without stores."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from uuid import UUID

import msgspec
import pytest
from edge_listeners import RunningEdge
from test_experiment_routes import running
from test_page_listing import Bucket, folder_of, source
from test_studio_pages import PAGES, SOURCES, ask, studio_edge

from infra.redis.response_cache import CachedResponse
from infra.s3.objects import StoredObject
from processors.findings.looks import Where
from processors.findings.report import Finding, Suggestion
from schemas.experiments import ExperimentCommand
from schemas.generation import Change, Progress, Result, VariantRequest, decode_model, encode_model
from streams.edge.site.object_cache import CachedObject
from streams.edge.studio.directory import Directories
from streams.pictures.findings import PageReport

REQUEST = UUID(int=7)


@pytest.fixture
async def edge() -> AsyncIterator[RunningEdge]:
    async with studio_edge() as one:
        one.services.shelf = Sections()
        yield one


class Found:
    """Findings with one suggestion."""

    def __init__(self, change: Change, *sections: str) -> None:
        suggestion = Suggestion(change, [*sections], "advice", "a brief without names of visitors")
        numbers = (100, 0.2, 0.2, 0.1, 0.3, "share")
        finding = Finding(
            "sought_too_low", "mobile", Where(sections[0], 0, 9), "evil", "text", suggestion, *numbers, {}
        )
        self.report = PageReport(9, 0, 1, "", [finding], [], lp_id="demo-a", device=None, start="", end="")

    async def get(self, *_: object, **__: object) -> CachedResponse:
        return CachedResponse.of(msgspec.json.encode(self.report), "application/json", 60)


async def link(edge: RunningEdge, lp_id: str) -> str | None:
    """Return the path of the form that a finding in the page of the map links to."""
    _, html, _ = await ask(edge, f"/maps/{lp_id}?lang=ja")
    found = re.search(r'href="/studio(/variants/[^"]*)"', html)
    return unescape(found[1]) if found else None


async def sections_of(edge: RunningEdge, path: str, **change: str) -> tuple[str, list[str]]:
    """Send the filled-in form with some fields changed; return change and sections of the request."""
    _, html, _ = await ask(edge, path)
    ticked = re.findall(r'name="(section:\w+)" value="on" checked', html)
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html))
    chosen = re.findall(r'name="change" value="(\w+)" checked', html)[0]
    fields = {**hidden, **dict.fromkeys(ticked, "on"), "change": chosen, "brief": "x", **change}
    assert (await ask(edge, path.partition("?")[0], fields))[0] == 303
    variant = decode_model(VariantRequest, edge.records[-1].value or b"").variant
    return variant.change, list(variant.sections)


async def test_a_finding_that_moves_a_section_fills_in_its_order(edge: RunningEdge) -> None:
    edge.services.findings = Found("order", "faq", "problems", "testimonials")
    path = await link(edge, "demo-a")
    assert path is not None and "evil" not in path and "brief=a+brief" in path
    _, html, _ = await ask(edge, f"{path}&lang=ja")
    assert "新しい順番：よくある質問 → お悩み → お客様の声" in html
    assert await sections_of(edge, path) == ("order", ["faq", "problems", "proof"])
    assert await sections_of(edge, path, change="copy") == ("copy", [])
    assert await sections_of(edge, path, change="design") == ("design", [])
    for odd, order in {"faq": [], "x,faq": [], "faq,<b>,faq,flow": ["faq", "flow"], "": []}.items():
        assert await sections_of(edge, path, order=odd) == ("order", order)
    edge.services.findings = Found("call", "hero", "faq")
    path = await link(edge, "demo-a")
    assert path is not None and await sections_of(edge, path) == ("call", ["faq"]), "the first section keeps its call"
    edge.services.findings = Found("copy", "price")
    assert await link(edge, "demo-a") is None, "no variant can change the prices"


class Sections:
    """A store of pages with sections; ids that end with `variant` are unpublished."""

    async def get(self, key: str) -> CachedObject | None:
        folder, lp_id, _ = key.split("/")
        if folder != folder_of(lp_id):
            return None
        names = ("hero", "problems", "testimonials", "faq", "price", "closing")
        body = "".join(f'<section data-section="{name}"></section>' for name in names).encode()
        return CachedObject(StoredObject(body, "text/html; charset=utf-8", f'"{lp_id}"'), 0.0)


async def test_a_winner_has_variants_that_are_tested_at_its_page(edge: RunningEdge) -> None:
    won, child, grandchild = "demo-variant", "demo-child-variant", "demo-grandchild-variant"
    sources = {
        child: source("凪", variant={"of": won, "change": "copy"}),
        grandchild: source("凪", variant={"of": child, "change": "copy"}),
    }
    edge.services.directories = Directories(Bucket(*PAGES, *sources, sources=SOURCES | sources))  # type: ignore[arg-type]
    edge.services.findings = Found("copy", "faq")
    assert await link(edge, won) is None and (await ask(edge, f"/variants/{won}"))[0] == 404, "nobody sees it yet"
    edge.services.experiments.take([running(arms=["demo-a", won], status="decided", winner=won, weights=[0, 1])])
    path = await link(edge, won)
    assert path is not None and await sections_of(edge, path) == ("copy", ["faq"])
    assert decode_model(VariantRequest, edge.records[-1].value or b"").variant.of == won
    _, html, _ = await ask(edge, f"/maps/{won}")
    assert 'href="/studio/experiments/demo-a"' in html and '/lp/demo-a"' in html
    _, html, _ = await ask(edge, "/experiments/demo-a")
    assert f'href="/studio/variants/{won}"' in html
    assert re.findall(r'name="arm:([\w-]+)"', html)[:2] == [won, child], "the winner, and variants of it"
    for variant in (won, child, grandchild):
        _, html, _ = await ask(edge, f"/experiments/{variant}")
        assert 'href="/studio/experiments/demo-a"' in html, variant
    assert (await ask(edge, f"/variants/{child}"))[0] == 404, "nobody sees it yet"
    status, _, _ = await ask(edge, "/experiments/demo-a", {f"arm:{won}": "on", f"arm:{child}": "on"})
    command = decode_model(ExperimentCommand, edge.records[-1].value or b"")
    assert (status, command.arms) == (303, ["demo-a", won, child])


class Results:
    """Results of requests: one result, or a request that waits."""

    def __init__(self, **values: Any) -> None:
        self.result = Result.model_validate({"request_id": REQUEST, "tenant_id": "demo"} | values) if values else None

    async def get(self, _: object) -> bytes | None:
        return encode_model(self.result) if self.result else None

    async def progress(self, request_id: UUID) -> tuple[str, Progress]:
        return "demo", Progress(request_id=request_id, percent=0, stage="queued", at_ms=1)


async def test_the_page_of_a_request_knows_the_page_of_its_variant(edge: RunningEdge) -> None:
    path = f"/requests/{REQUEST}?lang=ja"
    detail = "price holds facts of the customer, or the page does not have it; the texts of faq can be written anew"
    error = {"code": "validation", "field": "variant.sections", "detail": detail}
    edge.services.results = Results()
    assert "ページを作成しています" in (await ask(edge, path))[1]
    assert "別案を作成しています" in (await ask(edge, f"{path}&of=demo-a"))[1]
    edge.services.results = Results(status="rejected", error=error)
    _, html, _ = await ask(edge, f"{path}&of=demo-a")
    assert (
        "「料金」は、入力どおりに" in html
        and "facts" not in html
        and 'class="call" href="/studio/variants/demo-a"' in html
    )
    for odd in ("", "&of=../x", "&of=%3Cb%3E"):
        assert 'class="call"' not in (await ask(edge, path + odd))[1], "nothing names its page"
    assert '<span lang="en">price holds' in (await ask(edge, path.replace("ja", "en")))[1]
    edge.services.results = Results(status="failed", error={"code": "page_store", "detail": "<b>"})
    _, html, _ = await ask(edge, path)
    assert 'class="call" href="/studio/new"' in html and "ページを作成できませんでした" in html
    edge.services.experiments.take(
        [running(arms=["demo-a", "demo-w"], status="decided", winner="demo-w", weights=[0, 1])]
    )
    variant = {"of": "demo-w", "change": "copy", "sections": ["faq"], "differs": "the text of faq"}
    edge.services.results = Results(status="completed", lp_id="demo-v", variant=variant)
    _, html, _ = await ask(edge, path)
    assert "/studio/experiments/demo-a?arm:demo-v=on#start" in html and "「よくある質問」の文章" in html
