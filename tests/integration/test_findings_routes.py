"""Findings over HTTP, in the studio and on the command line, through ClickHouse."""

import asyncio
import json
import time
from collections.abc import Iterator

import aiohttp
import pytest
from beacons import assert_counted, produce_all
from test_heatmap_routes import ANALYST, TENANTS, get
from test_studio_door import cookie
from test_studio_door import get as page
from typer.testing import CliRunner

from infra.embedded.stack import Stack
from streams.__main__ import app
from streams.local.installation import Installation
from streams.proof.edge_process import EdgeProcess, edge_process
from streams.proof.planted import habit_visits, planted
from streams.proof.visitors import tally

pytestmark = pytest.mark.stack
LP_ID, VISITS, SPAN_MS = "acme-findings", 600, 3_000_000


@pytest.fixture(scope="module")
def edge(stack: Stack, installation: Installation) -> Iterator[EdgeProcess]:
    with edge_process(stack, "findings", {"LPSTREAM_EDGE_CLIENT_RATE": "0"}, tenants=TENANTS) as one:
        yield one


@pytest.fixture(scope="module")
def counted(stack: Stack, installation: Installation) -> str:
    """Send visits to a page whose first button does nothing, and return its id."""
    model = planted(1)[0].model
    start_ms = int(time.time() * 1000) - SPAN_MS
    visits = habit_visits(model, LP_ID, 1, VISITS, start_ms, SPAN_MS - 300_000)
    beacons = [beacon for visit in visits for beacon in visit.beacons()]

    async def fill() -> None:
        await produce_all(installation, beacons)
        await assert_counted(stack, LP_ID, tally(beacons).total())

    asyncio.run(fill())
    return LP_ID


async def test_a_planted_fault_is_found_through_clickhouse(edge: EdgeProcess, counted: str) -> None:
    answer = await get(edge, f"/lp/{counted}/findings?lang=ja")
    report = answer.json
    assert answer.status == 200 and report["lp_id"] == counted and report["visits"] == VISITS
    first = report["findings"][0]
    assert (first["kind"], first["where"]["section"]) == ("dead_clicks", "hero") and "「最初の画面」" in first["text"]
    assert first["element"] == "hero" and "「hero」" in first["text"] and first["evidence"]["on_element"] > 0
    assert first["low"] < first["estimate"] < first["high"] and first["suggestion"]["change"] == "design"
    phone = (await get(edge, f"/lp/{counted}/findings?device=mobile")).json
    assert {finding["device"] for finding in phone["findings"]} == {"mobile"} and 0 < phone["visits"] < VISITS
    nothing = (await get(edge, f"/lp/{counted}/findings?from=2020-01-01&to=2020-01-02")).json
    assert nothing["visits"] == 0 and nothing["findings"] == [] and nothing["more_visits"] > 0


async def test_findings_are_cached_and_belong_to_a_tenant(edge: EdgeProcess, counted: str) -> None:
    path = f"/lp/{counted}/findings?to={int(time.time() * 1000)}"
    first = await get(edge, path)
    known = await get(edge, path, **{"If-None-Match": first.headers["ETag"]})
    assert (known.status, known.body) == (304, b"")
    assert (await get(edge, path, "rival-analyst")).status == 404
    assert (await get(edge, path, "acme-application")).status == 403
    assert (await get(edge, path, "nobody")).status == 401
    for query in ("device=watch", "from=later", "lang=xx", "to=1", "lang=ja&lang=en"):
        wrong = await get(edge, f"/lp/{counted}/findings?{query}")
        assert wrong.status == 422 and wrong.json["message"].startswith(f"{query.partition('=')[0]}: ")


async def test_the_studio_shows_findings_with_links_into_the_map(edge: EdgeProcess, counted: str) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        session = await cookie(http, edge, ANALYST)
        _, html, _ = await page(http, edge, f"/studio/maps/{counted}?lang=en&range=24h", **session)
    assert "What visitors find difficult" in html and "Visitors click “hero” (a place in the first section" in html
    assert f"/studio/maps/{counted}?kind=click&amp;device=mobile&amp;range=24h" in html


def test_the_command_prints_findings(edge: EdgeProcess, counted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.cli.findings.private_api", lambda data: (edge.api_url, ANALYST))
    plain = CliRunner().invoke(app, ["findings", counted, "--lang", "en"])
    assert plain.exit_code == 0 and "Findings in 600 visits" in plain.output
    report = json.loads(CliRunner().invoke(app, ["findings", counted, "--json"]).output)
    assert report["findings"][0]["kind"] == "dead_clicks"
    wrong = CliRunner().invoke(app, ["findings", counted, "--from", "later"])
    assert "from: give a time" in str(wrong.exception)
