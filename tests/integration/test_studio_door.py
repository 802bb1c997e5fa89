"""The studio over plain HTTP, used by an attacker or another tenant."""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from test_heatmap_routes import tokens

from infra.embedded.stack import Stack
from infra.redis.line import open_redis
from streams.edge.studio.forms import EMPTY
from streams.local.installation import Installation
from streams.proof.edge_process import EdgeProcess, edge_process

pytestmark = pytest.mark.stack
ROLES = ("analyst", "application", "operator")
TENANTS = tokens("acme", *ROLES) + tokens("rival", "operator")
HTTPS = {"LPSTREAM_API_URL": "https://studio.example", "LPSTREAM_EDGE_CLIENT_RATE": "0"}
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def edge(stack: Stack, installation: Installation) -> Iterator[EdgeProcess]:
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
        kept = "private, no-cache" if path == "/studio/new" else "no-store"  # `Back` keeps what was typed
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


async def test_a_form_needs_its_sessions_token_and_origin(http: aiohttp.ClientSession, edge: EdgeProcess) -> None:
    session, other = [await cookie(http, edge, "acme-operator") for _ in range(2)]
    foreign = await form_of(http, edge, other)
    for wrong in ("", "0" * 32, foreign):
        assert (await ask(http, edge, session, form=wrong)).status == 403
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
