"""The studio over plain HTTP, used by an attacker or another tenant."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from page_requests import least
from test_heatmap_routes import tokens
from variant_pages import source_of

from infra.embedded.stack import Stack
from infra.redis.line import open_redis
from infra.s3.objects import Objects
from schemas.generation import encode_model
from streams.edge.studio.forms import EMPTY
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.proof.edge_process import EdgeProcess, edge_process
from streams.runtime.stores import open_objects

pytestmark = pytest.mark.stack
ROLES = ("analyst", "application", "operator")
TENANTS = tokens("acme", *ROLES) + tokens("rival", "operator")
HTTPS = {"LPSTREAM_API_URL": "https://studio.example", "LPSTREAM_EDGE_CLIENT_RATE": "0"}
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def pages(stack: Stack) -> list[str]:
    """Store pages of both tenants; the names hold markup."""
    lp_ids = [f"acme-p{number}" for number in range(7)] + ["rival-1"]
    asyncio.run(store(open_objects(settings_of(stack)), lp_ids))
    return lp_ids


async def store(objects: Objects, lp_ids: list[str]) -> None:
    for lp_id in lp_ids:
        business, tenant_id = {"name": f"<b>店</b> {lp_id}"}, lp_id.partition("-")[0]
        source = encode_model(
            source_of(least(request_id=uuid4(), business=business, tenant_id=tenant_id, door="command"))
        )
        html = b"<section data-section=hero></section><section data-section=price></section>"
        await objects.put(f"pages/{lp_id}/index.html", html, "text/html", "no-store")
        await objects.put(f"pages/{lp_id}/source.json", source, "application/json", "no-store")


@pytest.fixture(scope="module")
def edge(stack: Stack, installation: Installation, pages: list[str]) -> Iterator[EdgeProcess]:
    with edge_process(stack, "studio", HTTPS, tenants=TENANTS) as one:
        yield one


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Return a client without a cookie jar, so that tests send cookies explicitly."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def log_in(http: aiohttp.ClientSession, edge: EdgeProcess, token: str, **headers: str) -> aiohttp.ClientResponse:
    form = {"token": token}
    return await http.post(f"{edge.api_url}/studio/session", data=form, headers=headers, allow_redirects=False)


async def cookie(http: aiohttp.ClientSession, edge: EdgeProcess, token: str) -> dict[str, str]:
    answer = await log_in(http, edge, token)
    assert answer.status == 303
    return {"Cookie": f"lpstream_studio={answer.cookies['lpstream_studio'].value}"}


async def get(http: aiohttp.ClientSession, edge: EdgeProcess, path: str, **headers: str) -> tuple[int, str, Any]:
    async with http.get(edge.api_url + path, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text(errors="replace"), answer.headers


async def form_of(http: aiohttp.ClientSession, edge: EdgeProcess, session: dict[str, str]) -> str:
    _, html, _ = await get(http, edge, "/studio/new", **session)
    found = re.search(r'name="form" value="(\w+)"', html)
    assert found is not None
    return found[1]


async def test_a_login_with_a_token_sets_a_session_cookie(
    http: aiohttp.ClientSession, edge: EdgeProcess, stack: Stack
) -> None:
    answer = await log_in(http, edge, "acme-operator")
    morsel = answer.cookies["lpstream_studio"]
    assert (answer.status, answer.headers["Location"]) == (303, "/studio")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert morsel["httponly"] and morsel["secure"] and morsel["samesite"] == "Strict" and morsel["path"] == "/studio"
    assert 0 < int(morsel["max-age"]) <= 43_200
    digest = hashlib.sha256(b"acme-operator").hexdigest()
    assert "acme" not in morsel.value and digest not in morsel.value
    redis = open_redis(stack.addresses.redis_url)
    sessions = [(name, await redis.get(name)) async for name in redis.scan_iter(match="lp:session:*")]
    await redis.aclose()
    assert sessions and not any(morsel.value.encode() in name + value for name, value in sessions), (
        "Redis must store only its hash"
    )
    for wrong in ("", "acme", "acme-operator2", "x" * 5_000):
        refused = await log_in(http, edge, wrong)
        assert refused.status == 401 and "lpstream_studio" not in refused.cookies


async def test_the_cookie_works_without_https(http: aiohttp.ClientSession, installation: Installation) -> None:
    url = f"{installation.api_url}/studio/session"
    async with http.post(url, data={"token": installation.token}, allow_redirects=False) as answer:
        morsel = answer.cookies["lpstream_studio"]
        assert "Strict-Transport-Security" not in answer.headers
    assert morsel["httponly"] and not morsel["secure"] and morsel["samesite"] == "Strict"


async def test_every_page_has_the_security_headers(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session = await cookie(http, edge, "acme-operator")
    for path in (
        "/studio",
        "/studio/new",
        "/studio/maps/acme-1",
        "/studio/maps/rival-1",
        "/studio/experiments/acme-p1",
        f"/studio/requests/{uuid4()}",
    ):
        _, html, headers = await get(http, edge, path, **session)
        assert path != "/studio" or 'role="alert"' not in html, "the list of pages is shown"
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert (
            policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
        )
        assert policy["frame-ancestors"] == "'none'" and policy["form-action"] == "'self'"
        assert policy["base-uri"] == "'none'" and "unsafe" not in headers["Content-Security-Policy"]
        kept = "private, no-cache" if path == "/studio/new" else "no-store"  # `Back` keeps typed text
        assert headers["Cache-Control"] == kept and headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html), "no inline scripts or styles"


async def test_access_follows_tenant_and_role_in_the_studio(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    rival, analyst, application = [
        await cookie(http, edge, token) for token in ("rival-operator", "acme-analyst", "acme-application")
    ]
    for path in ("/studio/maps/acme-1", "/studio/pictures/acme-1.png?kind=click"):
        assert (await get(http, edge, path, **rival))[0] == 404
        assert (await get(http, edge, path, **application))[0] == 403
        assert (await get(http, edge, path, **analyst))[0] == 200
        assert (await get(http, edge, path))[0] == 401
    assert (await get(http, edge, "/studio/new", **analyst))[0] == 403
    posted = await ask(http, edge, application)
    assert posted.status == 303
    where = posted.headers["Location"]
    for suffix in ("", "/events", "/state", "/preview"):
        assert (await get(http, edge, where + suffix, **rival))[0] == 404, suffix
        assert (await get(http, edge, where + suffix, **analyst))[0] == 403, suffix
        assert (await get(http, edge, where + suffix))[0] == 401, suffix
    assert (await get(http, edge, where, **application))[0] == 200
    status, _, headers = await get(http, edge, where, **HTML)
    assert (status, headers["Location"]) == (303, "/studio?over=1"), "a browser is redirected to the login"


async def ask(
    http: aiohttp.ClientSession, edge: EdgeProcess, session: dict[str, str], **change: str
) -> aiohttp.ClientResponse:
    form = EMPTY | {"name": "麺屋 一", "industry": "飲食", "request_id": str(uuid4())}
    form |= {"form": await form_of(http, edge, session)} | change
    return await http.post(f"{edge.api_url}/studio/requests", data=form, headers=session, allow_redirects=False)


async def test_a_form_needs_its_holders_token_and_origin(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session, later = [await cookie(http, edge, "acme-operator") for _ in range(2)]
    foreign = await form_of(http, edge, await cookie(http, edge, "acme-application"))
    for wrong in ("", "0" * 32, foreign):
        assert (await ask(http, edge, session, form=wrong)).status == 403
    assert (await ask(http, edge, later, form=await form_of(http, edge, session))).status == 303, "after a new login"
    for header in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await ask(http, edge, {**session, **header})).status == 403
        assert (await log_in(http, edge, "acme-operator", **header)).status == 403
    for header in ({"Origin": "https://studio.example"}, {"Origin": edge.api_url, "Sec-Fetch-Site": "same-origin"}):
        assert (await ask(http, edge, {**session, **header})).status == 303
    url = f"{edge.api_url}/studio/requests"
    async with http.post(url, json={"name": "x"}, headers=session) as answer:
        assert answer.status == 415


async def test_a_form_posted_twice_makes_one_request(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session, request_id = await cookie(http, edge, "acme-operator"), str(uuid4())
    answers = [await ask(http, edge, session, request_id=request_id) for _ in range(2)]
    changed = await ask(http, edge, session, request_id=request_id, keywords="深夜営業")
    first, second, third = (one.headers["Location"] for one in (*answers, changed))
    assert first == second != third, "after `Back`, a changed form is another request"


async def test_a_wrong_form_names_all_fields_and_keeps_the_text(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session = await cookie(http, edge, "acme-operator")
    answer = await ask(http, edge, session, name="", url="x", prices="カット 5500\n無料", lang="en")
    html = await answer.text()
    assert answer.status == 422 and "カット 5500\n無料" in html
    assert set(re.findall(r'id="(\w+)-error"', html)) == {"name", "url", "prices"} and "2行目" in html


async def test_wrong_times_of_a_map_are_named_by_field(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session = await cookie(http, edge, "acme-operator")
    times = "range=custom&compare=custom&from=2026-01-02T00:00&to=2026-01-01T00:00&from2=&to2="
    status, html, _ = await get(http, edge, f"/studio/maps/acme-1?{times}", **session)
    assert status == 422 and set(re.findall(r'id="(\w+)-error"', html)) == {"from", "from2"}


async def test_an_ended_session_is_unauthorised(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session = await cookie(http, edge, "acme-operator")
    form = {"form": await form_of(http, edge, session)}
    url = f"{edge.api_url}/studio/session/end"
    async with http.post(url, data=form, headers=session, allow_redirects=False) as answer:
        assert answer.status == 303 and answer.cookies["lpstream_studio"]["max-age"] == "0"
    assert (await get(http, edge, "/studio/new", **session))[0] == 401
    for value in ("x", "x" * 5_000, "../../etc", ""):
        assert (await get(http, edge, "/studio/new", Cookie=f"lpstream_studio={value}"))[0] == 401
    bearer = {"Authorization": "Bearer acme-operator"}
    assert (await get(http, edge, "/studio/new", **bearer))[0] == 401, "the studio takes sessions, not tokens"
    alive = await cookie(http, edge, "acme-operator")
    assert (await get(http, edge, "/heatmaps/acme-1.png", **alive))[0] == 401, "and the API takes no sessions"


async def test_a_redraw_redirects_so_that_reloads_do_not_redraw(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session = await cookie(http, edge, "acme-operator")
    status, _, headers = await get(http, edge, "/studio/maps/acme-1?kind=scroll&range=24h&again=1", **session)
    assert (status, headers["Location"]) == (303, "/studio/maps/acme-1?kind=scroll&range=24h")
    status, html, _ = await get(http, edge, headers["Location"], **session)
    assert status == 200 and "again=1" in html


@pytest.mark.parametrize(
    "query",
    [
        "kind=<script>alert(1)</script>",
        "device=%22%3E%3Cimg%20src=x%3E",
        "from=%22%3E%3Csvg%20onload=1%3E&range=custom",
    ],
)
async def test_query_parameters_are_escaped(http: aiohttp.ClientSession, edge: EdgeProcess, query: str) -> None:
    session = await cookie(http, edge, "acme-operator")
    status, html, _ = await get(http, edge, f"/studio/maps/acme-1?{query}&lang=en", **session)
    assert status in (200, 422) and not re.search(r"<script>|<img src=x|<svg onload", html)
    for path in ("/studio/maps/acme-%3Cscript%3E", "/studio/maps/acme-%22onload=", "/studio/maps/acme-..%2f"):
        status, html, _ = await get(http, edge, path, **session)
        assert status == 404 and "<script>" not in html
    status, body, _ = await get(http, edge, "/studio/pictures/acme-1.png?kind=nope", **session)
    assert status == 422 and "kind" in body


async def test_the_list_has_name_door_and_search(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session = await cookie(http, edge, "acme-operator")
    _, html, _ = await get(http, edge, "/studio?lang=en", **session)
    assert "&lt;b&gt;店&lt;/b&gt; acme-p3" in html and "<b>店" not in html and "Command line" in html
    assert "rival-1" not in html
    for query in ("q=acme-p3", "q=ACME%EF%BC%8DP3", f"q=acme-p3&page={'9' * 30}", "q=acme-p3&page=-1"):
        status, html, _ = await get(http, edge, f"/studio?{query}", **session)
        assert status == 200 and "acme-p3" in html and "acme-p2" not in html, query
    status, html, _ = await get(http, edge, f"/studio?q={'%22%3E%3Cscript%3E' * 9}", **session)
    assert status == 200 and "<script>" not in html


async def post(
    http: aiohttp.ClientSession, edge: EdgeProcess, session: dict[str, str], path: str, **fields: str
) -> aiohttp.ClientResponse:
    token = await form_of(http, edge, session) if "form" not in fields else fields["form"]
    form = {**fields, "form": token}
    return await http.post(edge.api_url + path, data=form, headers=session, allow_redirects=False)


async def test_an_experiment_is_started_by_a_form_of_the_session(
    http: aiohttp.ClientSession, edge: EdgeProcess
) -> None:
    session, path = await cookie(http, edge, "acme-operator"), "/studio/experiments/acme-p0"
    _, html, _ = await get(http, edge, f"{path}?q=%E5%BA%97", **session)
    offered = set(re.findall(r'name="arm:([\w-]+)"', html))
    assert offered == {f"acme-p{number}" for number in range(1, 7)}, "other pages of the tenant, not the page itself"
    none = await post(http, edge, session, path)
    assert none.status == 422 and 'role="alert"' in await none.text()
    for arm in ("rival-1", "acme-404", "..%2f"):
        assert (await post(http, edge, session, path, **{f"arm:{arm}": "on"})).status == 422, arm
    kept = await post(http, edge, session, path, **{"arm:acme-404": "on", "arm:acme-p2": "on", "policy": "fixed"})
    html = await kept.text()
    assert kept.status == 422 and re.search(r'name="arm:acme-p2" value="on" checked', html)
    assert re.search(r'value="fixed" checked', html)
    assert (await post(http, edge, session, path, **{"arm:acme-p1": "on", "form": "0" * 32})).status == 403
    fields = {"arm:acme-p1": "on", "goal:form": "on", "experiment_id": str(uuid4())}
    answers = [await post(http, edge, session, path, **fields) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    addresses = {answer.headers["Location"].partition("&")[0] for answer in answers}
    assert addresses == {f"{path}?asked={fields['experiment_id']}"}


async def test_access_to_experiments_follows_tenant_and_role(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    rival, analyst, application = [
        await cookie(http, edge, token) for token in ("rival-operator", "acme-analyst", "acme-application")
    ]
    for path in ("/studio/experiments/acme-p3", "/studio/variants/acme-p3"):
        assert (await get(http, edge, path, **rival))[0] == 404
        assert (await get(http, edge, path, **application))[0] == 200
        assert (await get(http, edge, path))[0] == 401
    status, html, _ = await get(http, edge, "/studio/experiments/acme-p3", **analyst)
    assert status == 200 and "arm:" not in html, "an analyst sees tests and starts none"
    assert (await get(http, edge, "/studio/variants/acme-p3", **analyst))[0] == 403
    token = re.search(r'name="form" value="(\w+)"', html)
    assert token is not None
    for path in ("/studio/experiments/acme-p3", "/studio/experiments/acme-p3/stop", "/studio/variants/acme-p3"):
        assert (await post(http, edge, analyst, path, form=token[1], **{"arm:acme-p1": "on"})).status == 403
        assert (await post(http, edge, rival, path, **{"arm:acme-p1": "on"})).status == 404
    assert (await post(http, edge, application, "/studio/experiments/acme-p3/stop")).status == 404, "nothing runs"


async def test_autopilot_is_ordered_by_a_form_of_an_application_or_operator(
    http: aiohttp.ClientSession, edge: EdgeProcess
) -> None:
    path = "/studio/experiments/acme-p6"
    rival, analyst, application = [
        await cookie(http, edge, token) for token in ("rival-operator", "acme-analyst", "acme-application")
    ]
    status, html, _ = await get(http, edge, path, **analyst)
    assert status == 200 and 'id="pilot"' in html and 'name="autopilot"' not in html
    token = re.search(r'name="form" value="(\w+)"', html)
    assert token is not None
    for command in ("on", "off", "approve", "reject"):
        assert (await post(http, edge, analyst, path, form=token[1], autopilot=command)).status == 403
        assert (await post(http, edge, rival, path, autopilot=command)).status == 404
        assert (await post(http, edge, application, path, autopilot=command, form="0" * 32)).status == 403
        foreign = {**application, "Origin": "https://evil.example"}
        assert (await post(http, edge, foreign, path, autopilot=command, form=token[1])).status == 403
        async with http.post(edge.api_url + path, data={"autopilot": command}) as answer:
            assert answer.status == 401
    for command in ("", "now", "<script>", "x" * 5_000):
        odd = await post(http, edge, application, path, autopilot=command)
        assert odd.status == 422 and "<script>" not in await odd.text()
    for command, variant in (("approve", ""), ("reject", str(uuid4())), ("approve", "<script>" * 99)):
        none = await post(http, edge, application, path, autopilot=command, variant=variant)
        assert none.status == 409 and "<script>" not in await none.text(), "no variant waits"
    gone = await post(http, edge, application, "/studio/experiments/acme-404", autopilot="on")
    assert gone.status == 404 and 'role="alert"' in await gone.text()
    answer = await post(http, edge, application, path, autopilot="on", approval="on")
    assert answer.status == 303 and answer.headers["Location"].startswith(f"{path}?ordered=")
    for ordered in ("x", "%22%3E%3Cscript%3E", "1" * 500):
        status, html, _ = await get(http, edge, f"{path}?ordered={ordered}&at={'9' * 400}", **application)
        assert status == 200 and "<script>" not in html and "data-awaited" not in html


async def test_a_variant_is_requested_by_a_form_that_a_finding_fills_in(
    http: aiohttp.ClientSession, edge: EdgeProcess
) -> None:
    session, path = await cookie(http, edge, "acme-application"), "/studio/variants/acme-p4"
    query = f"change=call&section=hero&section=%3Cb%3E&brief={'%3Cscript%3E' * 100}"
    status, html, _ = await get(http, edge, f"{path}?{query}", **session)
    assert status == 200 and "<script>" not in html
    assert re.findall(r'name="section:(\w+)" value="on"( checked)?', html) == [("hero", " checked"), ("price", "")]
    assert re.search(r'value="call" checked', html) and len(re.findall("&lt;script&gt;", html)) <= 38
    assert (await get(http, edge, "/studio/variants/acme-404", **session))[0] == 404
    fields = {"change": "order", "section:hero": "on", "brief": "x" * 900, "request_id": str(uuid4())}
    answers = [await post(http, edge, session, path, **fields) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert (await post(http, edge, session, path, change="copy", request_id="1")).status == 422


async def test_a_page_without_visits_says_so(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session = await cookie(http, edge, "acme-operator")
    status, html, _ = await get(http, edge, "/studio/maps/acme-p5?lang=ja", **session)
    assert status == 200 and "データがまだありません" in html and '<img src="/studio/pictures' not in html
    assert '/lp/acme-p5"' in html, "it links to the page"
    for kind in ("dead", "rage"):
        assert (await get(http, edge, f"/studio/pictures/acme-none.png?kind={kind}", **session))[0] == 200
