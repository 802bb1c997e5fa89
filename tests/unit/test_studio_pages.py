"""The studio's pages over HTTP on an edge without stores: list, maps, experiments and variants."""

import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from edge_listeners import ANALYST, RIVAL, TOKEN, RunningEdge, running_edge
from test_autopilot import asked, on, ready
from test_autopilot_routes import hold
from test_experiment_routes import running
from test_page_listing import Bucket, source

from infra.redis.response_cache import CachedResponse
from infra.redis.sessions import Sessions
from infra.tenants import digest_of
from processors.pictures.summary import ElementClicked, MapSummary, Reach, SectionSeen, Spot
from schemas.autopilot import AutopilotCommand
from schemas.errors import Retryable
from schemas.experiments import ExperimentCommand
from schemas.generation import VariantRequest, decode_model
from streams.edge.studio.directory import Directories
from streams.edge.studio.listing import Listing
from streams.pictures.maps import MapQuery

PAGES = ("demo-a", "demo-b", "demo-c", "demo-variant")
SOURCES = {
    "demo-a": source("凪 <b>", door="studio"),
    "demo-variant": source("凪 <b>", variant={"of": "demo-a", "change": "call"}),
}


class NamedSessions(Sessions):
    """Sessions that are named by their tokens."""

    def __init__(self, now_s: float | None = None) -> None:
        super().__init__(None, b"s" * 32, time.time if now_s is None else lambda: now_s)  # type: ignore[arg-type]

    async def token_digest(self, name: str, _: object) -> str:
        return digest_of(name)


def form_token(token: str, now_s: float | None = None) -> str:
    """Return the form token of the holder of a token."""
    return NamedSessions(now_s).form_tokens(digest_of(token))[0]


class NoneAsked:
    """No requests from the studio."""

    async def of(self, _: str) -> list[dict[str, Any]]:
        return []

    async def note(self, *_: object) -> None:
        """Note nothing."""


class Maps:
    """Maps of pages that `views` visitors saw."""

    def __init__(self, views: int) -> None:
        self.views, self.asked = views, list[MapQuery]()

    async def get(self, query: MapQuery, form: str, *, fresh: bool = False) -> CachedResponse:
        self.asked.append(query)
        devices = {"mobile": self.views} if self.views else {}
        summary = MapSummary(
            "mobile", devices, self.views, 5, 2.0, 800, [Spot(50, 300, False, 0.5)], [Reach(75, 900)],
            [SectionSeen("price", 9, 1, 5_000), SectionSeen("<i>", 8, 0, 1), SectionSeen("hero", 7, 2, 9_000)],
            [ElementClicked("hero-call", 1, 0.6, 9, 0, 1), ElementClicked("<script>\u202e\0", 2, 0.4, 3, 0, 0)],
        )  # fmt: skip
        return CachedResponse.of(msgspec.json.encode(summary), "application/json", 60)


class Away:
    """A ClickHouse, or findings, that do not answer."""

    async def get(self, *_: object, **__: object) -> CachedResponse:
        raise Retryable("away")

    async def rows(self, *_: object) -> list[dict[str, Any]]:
        raise Retryable("away")


@contextlib.asynccontextmanager
async def studio_edge() -> AsyncIterator[RunningEdge]:
    """Run an edge with the pages of a tenant, and with maps of each."""
    async with running_edge() as one:
        directories = Directories(Bucket(*PAGES, sources=SOURCES))  # type: ignore[arg-type]
        one.services.sessions, one.services.asked = NamedSessions(), NoneAsked()
        one.services.directories, one.services.listing = directories, Listing(Away(), directories)  # type: ignore[arg-type]
        one.services.heatmaps, one.services.findings, one.services.objects = Maps(20), Away(), Away()
        yield one


@pytest.fixture
async def edge() -> AsyncIterator[RunningEdge]:
    async with studio_edge() as one:
        yield one


async def ask(
    edge: RunningEdge, path: str, form: dict[str, str] | None = None, token: str = TOKEN
) -> tuple[int, str, str]:
    """Return status, HTML and address of the answer, to a POST if there is a form."""
    headers = {"Cookie": f"lpstream_studio={token}"}
    data = None if form is None else form | {"form": form_token(token)}
    method = "GET" if form is None else "POST"
    url = f"{edge.private}/studio{path}"
    async with edge.session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
        html = await answer.text()
        assert answer.status < 500, html
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|<b>|<i>", html)
        return answer.status, html, answer.headers.get("Location", "")


@pytest.mark.parametrize("token", [TOKEN, ANALYST])
async def test_the_first_page_lists_pages_even_without_clickhouse(edge: RunningEdge, token: str) -> None:
    status, html, _ = await ask(edge, "?lang=en", token=token)
    assert status == 200 and "demo-a" in html and "demo-variant" not in html and "Studio" in html
    assert "The visits cannot be counted now" in html


async def test_the_map_names_elements_and_sections_in_page_order(edge: RunningEdge) -> None:
    _, html, _ = await ask(edge, "/maps/demo-a?lang=ja")
    assert "「最初の画面」のボタン" in html and "<code>&lt;script&gt;</code>" in html
    assert html.index("料金") and html.index('class="maps"') < html.index('class="card filters"')
    assert 'href="http' in html and "/lp/demo-a" in html, "the map links to the page"
    for kind in ("dead", "rage"):
        _, html, _ = await ask(edge, f"/maps/demo-a?kind={kind}&lang=ja")
        assert f'aria-current="page">{"反応なし" if kind == "dead" else "連打"}' in html
        assert edge.services.heatmaps.asked[-1].kind == kind


async def test_a_page_without_visits_says_so(edge: RunningEdge) -> None:
    edge.services.heatmaps = Maps(0)
    _, html, _ = await ask(edge, "/maps/demo-a?lang=ja")
    assert "データがまだありません" in html and "/studio/pictures/" not in html


async def test_an_experiment_starts_by_a_form(edge: RunningEdge) -> None:
    _, html, _ = await ask(edge, "/experiments/demo-a?lang=en")
    assert re.findall(r'name="arm:([\w-]+)"', html) == ["demo-variant", "demo-c", "demo-b"], "variants come first"
    fields = {"arm:demo-b": "on", "goal:tel": "on", "policy": "fixed", "experiment_id": str(uuid4())}
    status, _, address = await ask(edge, "/experiments/demo-a", fields)
    assert (status, address.partition("&")[0]) == (303, f"/studio/experiments/demo-a?asked={fields['experiment_id']}")
    command = decode_model(ExperimentCommand, edge.records[-1].value or b"")
    assert (command.command, command.arms, command.policy) == ("start", ["demo-a", "demo-b"], "fixed")
    assert [str(goal) for goal in command.goals] == ["tel"] and str(command.experiment_id) == fields["experiment_id"]
    _, html, _ = await ask(edge, f"{address.removeprefix('/studio')}&lang=en")
    assert "The test is starting" in html and "data-awaited" in html and "arm:" not in html
    for at in ("1", "x", "9" * 400):
        _, html, _ = await ask(edge, f"{address.removeprefix('/studio').partition('&at')[0]}&at={at}")
        assert "data-awaited" not in html, "it does not reload for ever"


async def test_a_wrong_start_says_why_and_keeps_the_form(edge: RunningEdge) -> None:
    status, html, _ = await ask(edge, "/experiments/demo-a?lang=en", {})
    assert status == 422 and "Choose at least one page" in html
    many = {f"arm:demo-{letter}": "on" for letter in "bcdefg"}
    status, html, _ = await ask(edge, "/experiments/demo-a?lang=ja", many)
    assert status == 422 and "5件まで" in html and edge.sender.sent == []
    status, html, _ = await ask(edge, "/experiments/demo-a?lang=en", {"arm:nobody": "on", "arm:demo-c": "on"})
    assert status == 422 and "cannot be used" in html and 'name="arm:demo-c" value="on" checked' in html
    edge.services.experiments.take([running(lp_id="demo-x", arms=["demo-x", "demo-c"])])
    status, html, _ = await ask(edge, "/experiments/demo-a?lang=en", {"arm:demo-c": "on"})
    assert status == 409 and "another test already" in html and 'name="arm:demo-c"' not in html
    assert edge.sender.sent == []
    for path, token, why in (("nobody", TOKEN, "did not make this page"), ("demo-b", ANALYST, "not start them")):
        assert why in (await ask(edge, f"/experiments/{path}?lang=en", token=token))[1]
    _, html, _ = await ask(edge, "/experiments/demo-c?lang=en")
    assert "part of another page" in html and "/studio/experiments/demo-x" in html
    _, html, _ = await ask(edge, "/experiments/demo-variant?lang=en")
    assert "made from" in html and 'href="/studio/experiments/demo-a"' in html


async def test_a_running_experiment_shows_arms_and_stops_by_a_form(edge: RunningEdge) -> None:
    state = running(reason="arm 1 leads; the difference may still be chance", visits_needed=3_400)
    edge.services.experiments.take([state])
    _, html, _ = await ask(edge, "/experiments/demo-a?lang=ja")
    assert "実施中" in html and "「B」が優勢" in html and "3,400" in html
    assert len(re.findall(r'src="/studio/pictures/demo-[ab]\.png', html)) == 2
    assert {query.kind for query in edge.services.heatmaps.asked} == {"click"} and "arm:" not in html
    _, html, _ = await ask(edge, "/experiments/demo-a?lang=en", token=ANALYST)
    assert "Running" in html and "/stop" not in html
    assert (await ask(edge, "/experiments/demo-a/stop", {}, ANALYST))[0] == 403
    fields = {"experiment_id": str(state.experiment_id), "intent": "stop"}
    status, _, address = await ask(edge, "/experiments/demo-a/stop", fields)
    assert (status, address.partition("&")[0]) == (303, f"/studio/experiments/demo-a?stopping={state.experiment_id}")
    assert decode_model(ExperimentCommand, edge.records[-1].value or b"").command == "stop"
    _, html, _ = await ask(edge, address.removeprefix("/studio") + "&lang=ja")
    assert "テストを終了しています" in html


async def test_a_leader_that_waits_for_the_week_needs_no_more_visits(edge: RunningEdge) -> None:
    week = "the decision waits 3.4 days more until a whole week is counted"
    edge.services.experiments.take([running(reason=week, visits_needed=0)])
    _, html, _ = await ask(edge, "/experiments/demo-a?lang=ja")
    assert "あと3.4日待ちます" in html and "回の閲覧が必要" not in html


async def test_a_search_does_not_put_the_forms_token_into_the_address(edge: RunningEdge) -> None:
    _, html, _ = await ask(edge, "/experiments/demo-a?arm:demo-c=on&q=demo")
    form = re.findall(r'<form class="card start".*?</form>', html, re.DOTALL)[0]
    search, start = re.findall("<button[^>]*>", form)
    assert 'formmethod="get"' in search and "name=" not in search
    assert form.count(form_token(TOKEN)) == 1 and form_token(TOKEN) in start


async def test_a_winner_is_named_and_the_next_experiment_keeps_it(edge: RunningEdge) -> None:
    edge.services.experiments.take([running(status="decided", winner="demo-b", weights=[0, 1])])
    _, html, _ = await ask(edge, "/experiments/demo-a?lang=ja")
    assert "勝者：B" in html and "元のページに戻す" in html
    assert 'name="arm:demo-b" value="on" checked' in html and "今、訪問者に表示しているページ" in html


async def test_a_refused_start_says_why(edge: RunningEdge) -> None:
    experiment_id = str(uuid4())
    why = "arms: demo-b is part of the experiment on demo-x; stop that first"
    edge.services.experiments.take([running(refused={"experiment_id": experiment_id, "reason": why})])
    _, html, _ = await ask(edge, f"/experiments/demo-a?asked={experiment_id}&lang=ja")
    assert "テストを始められませんでした" in html and "demo-x のテスト" in html
    for odd in ("x", "1" * 500, "%3Cscript%3E"):
        assert (await ask(edge, f"/experiments/demo-a?asked={odd}&stopping={odd}"))[0] == 200


async def test_a_variant_is_requested_from_the_studio(edge: RunningEdge) -> None:
    _, html, _ = await ask(edge, "/variants/demo-a?change=call&brief=%3Cscript%3E&section=hero")
    assert 'value="call" checked' in html and "&lt;script&gt;" in html
    fields = {"change": "copy", "section:price": "on", "section:x": "on", "brief": "短く", "request_id": str(uuid4())}
    status, _, address = await ask(edge, "/variants/demo-a", fields)
    request = decode_model(VariantRequest, edge.records[-1].value or b"")
    assert (status, address) == (303, f"/studio/requests/{request.request_id}?of=demo-a")
    assert (request.variant.of, request.variant.change, request.variant.sections) == ("demo-a", "copy", ["price"])
    assert (request.variant.brief, request.door, request.tenant_id) == ("短く", "studio", "demo")
    assert (await ask(edge, "/variants/demo-variant"))[0] == 404, "a variant of a variant is of the page"
    assert (await ask(edge, "/variants/demo-a", fields, ANALYST))[0] == 403


# -- autopilot -----------------------------------------------------------------------------------------


PILOT = "/experiments/demo-a"


def last_order(edge: RunningEdge) -> AutopilotCommand:
    return decode_model(AutopilotCommand, edge.records[-1].value or b"")


async def test_autopilot_is_off_until_a_form_switches_it_on(edge: RunningEdge) -> None:
    _, html, _ = await ask(edge, f"{PILOT}?lang=ja")
    assert "自動改善をオンにする" in html and 'name="approval" value="on" checked' in html
    status, _, address = await ask(edge, PILOT, {"autopilot": "on", "approval": "on"})
    command = last_order(edge)
    assert (command.command, command.approval, command.lp_id, command.tenant_id) == ("on", True, "demo-a", "demo")
    assert (status, address.partition("&")[0]) == (303, f"/studio{PILOT}?ordered={command.command_id}")
    address = address.removeprefix("/studio")
    _, html, _ = await ask(edge, f"{address}&lang=ja")
    assert "処理しています" in html and "data-awaited" in html and 'name="autopilot"' not in html
    hold(edge, on(approval=True).model_copy(update={"command_id": command.command_id}))
    _, html, _ = await ask(edge, f"{address}&lang=ja")
    assert "data-awaited" not in html and "改善点を探しています" in html and "自動改善をオンにしました" in html
    seen = {"seen": str(command.command_id)}
    assert (await ask(edge, PILOT, {"autopilot": "on"} | seen))[0] == 303 and not last_order(edge).approval


async def test_an_order_that_no_optimizer_carries_out_is_late(edge: RunningEdge) -> None:
    hold(edge, on())
    edge.services.experiments.take([running()])
    now, told = int(time.time()), "not carried out within two minutes"
    for name in ("ordered", "asked"):
        path = f"{PILOT}?{name}={uuid4()}&lang=en"
        assert told not in (await ask(edge, f"{path}&at={now}"))[1]
        _, html, _ = await ask(edge, f"{path}&at={now - 200}")
        assert told in html and "data-awaited" not in html
        for odd in (f"&at={now - 7_200}", f"&at={now + 7_200}", "&at=x", ""):
            _, html, _ = await ask(edge, path + odd)
            assert told not in html and "data-awaited" not in html, "an old address says nothing"


@pytest.mark.parametrize("command", ["approve", "reject"])
async def test_a_variant_is_approved_or_rejected_by_the_one_who_has_seen_it(edge: RunningEdge, command: str) -> None:
    state = ready(approval=True)
    hold(edge, state)
    _, html, _ = await ask(edge, f"{PILOT}?lang=en")
    assert "A variant waits for approval" in html and "Many visitors leave: the solution (mobile)." in html
    assert "Visitors leave at solution." in html and f'href="/studio/requests/{state.variant_request_id}"' in html
    for seen in ("", str(uuid4()), "<b>"):
        status, html, _ = await ask(edge, f"{PILOT}?lang=en", {"autopilot": command, "variant": seen})
        assert status == 409 and "does not wait for approval any more" in html and edge.records == [], seen
    fields = {"autopilot": command, "variant": str(state.variant_request_id)}
    assert (await ask(edge, PILOT, fields))[0] == 303 and last_order(edge).command == command
    hold(edge, asked(approval=True))
    assert (await ask(edge, PILOT, fields))[0] == 409, "it is at another step"


async def test_an_analyst_sees_autopilot_and_changes_nothing(edge: RunningEdge) -> None:
    state = ready(approval=True)
    hold(edge, state)
    _, html, _ = await ask(edge, f"{PILOT}?lang=en", token=ANALYST)
    assert "A variant waits for approval" in html and "Visitors leave at solution." in html
    assert 'name="autopilot"' not in html and "/studio/requests/" not in html
    for command in ("on", "off", "approve", "reject"):
        fields = {"autopilot": command, "variant": str(state.variant_request_id)}
        assert (await ask(edge, PILOT, fields, ANALYST))[0] == 403
        assert (await ask(edge, PILOT, fields, RIVAL))[0] == 404
    assert (await ask(edge, PILOT, token=RIVAL))[0] == 404 and edge.records == []


async def test_an_odd_order_sends_nothing_and_text_is_escaped(edge: RunningEdge) -> None:
    for command in ("", "now", "<b>"):
        assert (await ask(edge, PILOT, {"autopilot": command}))[0] == 422
    status, html, _ = await ask(edge, "/experiments/nobody?lang=en", {"autopilot": "on"})
    assert status == 404 and "not published" in html and edge.records == []
    for path in ("nobody", "demo-variant"):
        assert 'id="pilot"' not in (await ask(edge, f"/experiments/{path}"))[1], "only a published page has autopilot"
    evil = {"finding": "<i>x</i>", "about": "<b>", "reason": "<b>odd</b>"}
    hold(edge, ready(approval=True).model_copy(update=evil))
    _, html, _ = await ask(edge, f"{PILOT}?lang=ja")
    assert "&lt;i&gt;x" in html and '<span lang="en">&lt;b&gt;odd' in html


async def test_the_first_page_names_the_pages_that_wait_for_approval(edge: RunningEdge) -> None:
    async def waiting() -> set[str]:
        return {"demo-a", "rival-z"} | ({"demo-gone"} if gone else set())

    gone, edge.services.experiments.store.waiting = True, waiting
    for token in (TOKEN, ANALYST):
        _, html, _ = await ask(edge, "?lang=ja", token=token)
        assert re.search(r'<a href="/studio/experiments/demo-a"[^>]*class="running">承認待ち', html)
        assert html.count("承認待ち") == 1 and "demo-gone" in html, "a page that is not in this part of the list, too"
    _, html, _ = await ask(edge, "?lang=ja", token=RIVAL)
    assert "demo-a" not in html and "rival-z" in html, "each tenant its own"

    async def away() -> set[str]:
        raise Retryable("Redis is away")

    edge.services.experiments.store.waiting = away
    status, html, _ = await ask(edge, "?lang=ja")
    assert status == 200 and "承認" not in html
