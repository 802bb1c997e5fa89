"""The studio's first page: all pages of the tenant, with search, and the latest requests."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from schemas.errors import LpstreamError
from streams.edge.studio import autopilot
from streams.edge.studio.auth import PATH, Visit
from streams.edge.studio.directory import Page
from streams.edge.studio.listing import Counts, PageList

log = logging.getLogger(__name__)

DAYS, LONGEST_SEARCH = 30, 100


async def home(visit: Visit) -> web.Response:
    """Return the list of pages, or the login page if nobody is logged in."""
    if visit.visitor is None:
        return visit.page("login", error=visit.say("session_over") if "over" in visit.request.query else None)
    text = visit.request.query.get("q", "")[:LONGEST_SEARCH].strip()
    number = visit.request.query.get("page", "")
    tenant = visit.visitor.caller.tenant
    pages = await visit.services.listing.of(tenant, text, int(number) if number.isdecimal() and len(number) < 7 else 1)
    requested = await _requested(visit) if visit.visitor.may_ask else []
    counts = await _counts(visit, pages.rows) if visit.visitor.may_look else None
    asked = {row["request_id"] for row in requested or []}
    waiting = await autopilot.waiting(visit)
    ids = {one["lp_id"] for one in waiting}
    return visit.page(
        "home",
        here="home",
        pages=pages,
        text=text,
        rows=[_row(visit, page, counts, asked) | {"waits": page.lp_id in ids} for page in pages.rows],
        waiting=waiting,
        counts=counts,
        most=max([1, *(page.pageviews for page in counts.totals.values())]) if counts else 1,
        requested=requested,
        before=_address(text, pages.number - 1) if pages.number > 1 else None,
        after=_address(text, pages.number + 1) if pages.number < pages.last else None,
        shown=_shown(visit, pages),
    )


def _address(text: str, number: int) -> str:
    return f"{PATH}?{urlencode({'q': text, 'page': number} if text else {'page': number})}"


def _shown(visit: Visit, pages: PageList) -> str:
    word = "pages_shown" if pages.last > 1 else "pages_found"
    return visit.say(word, count=f"{pages.found:,}", number=pages.number, last=pages.last)


def _row(visit: Visit, page: Page, counts: Counts | None, asked: set[str]) -> dict[str, Any]:
    """Return a row.

    A page that was made before doors were recorded may still be among the latest requests of the studio.
    """
    about = page.about
    door = about.door or ("studio" if about.request_id in asked else None) if about else None
    made = page.made and page.made.astimezone(visit.zone)
    return {
        "lp_id": page.lp_id,
        "name": page.name,
        "door": visit.say(f"door_{door}") if door else visit.say("door_other") if page.made is None else "–",
        "made": visit.local(made) if made else "",
        "iso": made.isoformat(timespec="seconds") if made else "",
        "totals": counts.totals.get(page.lp_id) if counts else None,
        "address": f"{visit.services.settings.page_base_url}/lp/{page.lp_id}" if page.made else None,
        "experiment": visit.services.experiments.states.get(page.lp_id),
    }


async def _counts(visit: Visit, rows: list[Page]) -> Counts | None:
    """Return the visits of the last DAYS days, or None without ClickHouse."""
    end = datetime.now(UTC).replace(microsecond=0)
    try:
        return await visit.services.listing.counts(visit.known.caller.tenant, rows, end - timedelta(days=DAYS), end)
    except LpstreamError as error:
        log.warning("cannot count the visits of the studio's pages: %s", error)
        return None


async def _requested(visit: Visit) -> list[dict[str, Any]] | None:
    """Return the latest requests from the studio, or None without Redis."""
    try:
        stored = await visit.services.asked.of(visit.known.tenant)
    except LpstreamError:
        return None
    times = [datetime.fromtimestamp(int(row["at_ms"]) / 1000, visit.zone) for row in stored]
    return [
        {**row, "at": visit.local(at), "iso": at.isoformat(timespec="seconds")}
        for row, at in zip(stored, times, strict=True)
    ]
