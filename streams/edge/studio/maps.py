"""The studio's heatmaps: one range, or two side by side on one scale."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from aiohttp import web

from infra.redis.response_cache import CachedResponse
from processors.pictures.summary import MapSummary
from processors.studio.parts import element_title, in_page_order, section_order, title
from schemas.heatmap import Device
from streams.edge.http.errors import HttpError
from streams.edge.site.maps import LONGEST, answer, map_of, parsed
from streams.edge.site.published import made, published
from streams.edge.studio.auth import PATH, Redirect, Visit
from streams.edge.studio.directory import Page
from streams.edge.studio.figures import figure, kind_and_device, shown, summaries_of, tops
from streams.edge.studio.findings import panel
from streams.edge.studio.places import has_won, shown_at
from streams.pictures.maps import MapKind, MapQuery

# length of a range and step of its end, in s: with steps, the cache finds a map again
PRESETS = {"1h": (3_600, 300), "24h": (86_400, 3_600), "7d": (7 * 86_400, 3_600), "30d": (30 * 86_400, 3_600)}
RANGES = (*PRESETS, "custom")
COMPARISONS = ("none", "previous", "custom")
YEARS = range(2000, 2100)
MS = 1_000
MOST_ELEMENTS = 20


@dataclass(frozen=True, slots=True)
class Range:
    """A period of time that ends before `end`."""

    start: datetime
    end: datetime

    def before(self) -> "Range":
        """Return the period of the same length just before."""
        return Range(self.start - (self.end - self.start), self.start)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters as they were set."""

    kind: MapKind
    device: Device | None
    range: str
    compare: str
    given: dict[str, str]
    again: bool


async def maps(visit: Visit, lp_id: str) -> web.Response:
    """Return the studio page with the heatmaps of a landing page."""
    check_owner(visit, lp_id)
    filters = _filters(visit)
    zone = visit.zone
    if wrong := _wrong_times(filters, zone):
        return await _page(visit, lp_id, filters, zone, wrong=wrong)
    ranges = _ranges(filters, zone)
    asked = [MapQuery(lp_id, filters.kind, filters.device, each.start, each.end, visit.language) for each in ranges]
    findings, (queries, summaries, responses) = await asyncio.gather(
        panel(visit, asked[0], again=filters.again), summaries_of(visit, asked, again=filters.again)
    )
    if filters.again:
        await _redraw(visit, filters, queries, summaries)
    answers = {"queries": queries, "summaries": summaries, "responses": responses, "findings": findings}
    return await _page(visit, lp_id, filters, zone, **answers)


async def _redraw(visit: Visit, filters: Wanted, queries: list[MapQuery], summaries: list[MapSummary]) -> None:
    """Redraw the pictures, then redirect to an address whose reload does not redraw again."""
    drawn = zip(queries, summaries, tops(filters.kind, summaries), strict=True)
    await asyncio.gather(*(map_of(visit.services, shown(*each), "png", fresh=True) for each in drawn))
    query = [(name, value) for name, value in visit.request.query.items() if name != "again"]
    raise Redirect(f"{PATH}/maps/{quote(queries[0].lp_id)}?{urlencode(query)}")


async def picture(visit: Visit, lp_id: str) -> web.Response:
    """Return a map's PNG, for the images of the page."""
    check_owner(visit, lp_id)
    query = parsed(lp_id, visit.request, visit.zone)
    return answer(visit.request, await map_of(visit.services, query, "png", fresh="again" in visit.request.query))


def check_owner(visit: Visit, lp_id: str) -> None:
    """Raise HttpError 404 if the page is not the visitor's tenant's."""
    if not visit.known.caller.tenant.owns(lp_id):
        raise HttpError(404, visit.say("not_found"))


# -- filters -----------------------------------------------------------------------------------------------


def _filters(visit: Visit) -> Wanted:
    """Return the filters. An unknown value counts as not set: the form sends only known values."""
    query = visit.request.query

    def one_of(name: str, known: tuple[str, ...], default: str) -> str:
        value = query.get(name, default)
        return value if value in known else default

    return Wanted(
        *kind_and_device(visit),
        one_of("range", RANGES, "7d"),
        one_of("compare", COMPARISONS, "none"),
        {name: query.get(name, "")[:32] for name in ("from", "to", "from2", "to2")},
        "again" in query,
    )


def _ranges(filters: Wanted, zone: ZoneInfo) -> list[Range]:
    """Return the range, and the range to compare it with. Raise ValueError for `_wrong_times`."""
    if filters.range == "custom":
        first = _custom(filters.given["from"], filters.given["to"], zone)
    else:
        first = preset(filters.range, datetime.now(UTC))
    if filters.compare == "previous":
        return [first, first.before()]
    if filters.compare == "custom":
        return [first, _custom(filters.given["from2"], filters.given["to2"], zone)]
    return [first]


def _wrong_times(filters: Wanted, zone: ZoneInfo) -> list[str]:
    """Return the first field of each pair of times that is set and missing or wrong."""
    pairs = {"from": (filters.range, "to"), "from2": (filters.compare, "to2")}
    wrong = []
    for first, (chosen, second) in pairs.items():
        try:
            if chosen == "custom":
                _custom(filters.given[first], filters.given[second], zone)
        except ValueError:
            wrong.append(first)
    return wrong


def preset(name: str, now: datetime) -> Range:
    """Return a range that ends at the first step of its clock after `now`."""
    span, step = PRESETS[name]
    end = datetime.fromtimestamp((int(now.timestamp()) // step + 1) * step, UTC)
    return Range(end - timedelta(seconds=span), end)


def _custom(start: str, end: str, zone: ZoneInfo) -> Range:
    first, last = _local(start, zone), _local(end, zone)
    if not first < last <= first + LONGEST:
        raise ValueError("the range is empty, or longer than 400 days")
    return Range(first, last)


def _local(text: str, zone: ZoneInfo) -> datetime:
    """Return a time of the zone in UTC. Raise ValueError if it is invalid or outside YEARS."""
    at = datetime.fromisoformat(text)
    # checked before the zone is set: times of the years 1 and 9999 may not exist in another zone
    if at.year not in YEARS:
        raise ValueError("the year is not between 2000 and 2099")
    return at.replace(tzinfo=zone).astimezone(UTC)


# -- the page ----------------------------------------------------------------------------------------------


async def _page(
    visit: Visit,
    lp_id: str,
    filters: Wanted,
    zone: ZoneInfo,
    *,
    wrong: list[str] | None = None,
    queries: list[MapQuery] | None = None,
    summaries: list[MapSummary] | None = None,
    responses: list[CachedResponse] | None = None,
    findings: dict[str, Any] | None = None,
) -> web.Response:
    summaries, queries = summaries or [], queries or []
    made = datetime.fromtimestamp(min((each.made_ms for each in responses or []), default=0) / MS, zone)
    page, html = await _published(visit, lp_id)
    at = shown_at(visit.services, lp_id)
    order = section_order(html or b"")
    return visit.page(
        "map",
        status=422 if wrong else 200,
        lp_id=lp_id,
        business=page.name if page else "",
        shown_at=at,
        address=f"{visit.services.settings.page_base_url}/lp/{at}" if html is not None else None,
        testing=visit.services.experiments.states.get(at),
        wrong=wrong or [],
        kind=filters.kind,
        kinds=[_tab(visit, kind) for kind in get_args(MapKind)],
        device=filters.device or "any",
        devices=_devices(visit, summaries),
        range=filters.range,
        ranges=RANGES,
        compare=filters.compare,
        given=filters.given,
        zone=zone,
        empty=bool(summaries) and not any(each.pageviews for each in summaries),
        maps=_figures(visit, filters, queries, summaries),
        parts=[_parts(visit, each, order) for each in summaries],
        findings=findings,
        rows=_rows(visit, filters.kind, summaries),
        made=f"{made:%H:%M}",
        redraw=str(visit.request.rel_url.update_query(again="1")),
        now=filters.range in PRESETS,
    )


async def _published(visit: Visit, lp_id: str) -> tuple[Page | None, bytes | None]:
    """Return the page in the directory and its HTML, if visitors see it; None for a missing part.

    A map needs neither.
    """
    page = await visit.services.directories.page(visit.known.caller.tenant, lp_id)
    read = made if has_won(visit.services, lp_id) else published
    with contextlib.suppress(HttpError):
        if (cached := await read(visit.services, lp_id)) is not None:
            return page, cached.object.body
    return page, None


def _tab(visit: Visit, kind: MapKind) -> tuple[str, str, str]:
    """Return a kind of map, its name, and the address of this page with that kind."""
    return kind, visit.say(f"kind_{kind}"), str(visit.request.rel_url.update_query(kind=kind))


def _devices(visit: Visit, summaries: list[MapSummary]) -> list[tuple[str, str]]:
    seen = summaries[0].devices if summaries else {}
    named = [(device, visit.say(f"device_{device}")) for device in get_args(Device)]
    counted = [(device, f"{name} {seen[device]:,}" if device in seen else name) for device, name in named]
    return [("any", visit.say("device_any")), *counted]


def _figures(
    visit: Visit, filters: Wanted, queries: list[MapQuery], summaries: list[MapSummary]
) -> list[dict[str, Any]]:
    if len(summaries) == 2:
        titles = [visit.say("range_a"), visit.say("range_b" if filters.compare == "previous" else "range_b_other")]
    else:
        titles = [f"{visit.say(f'kind_{filters.kind}')} · {visit.say(f'device_{each.device}')}" for each in summaries]
    drawn = zip(titles, queries, summaries, tops(filters.kind, summaries), strict=True)
    return [figure(visit, *each) for each in drawn]


def _parts(visit: Visit, summary: MapSummary, order: list[str]) -> dict[str, Any]:
    """Return the elements and sections of a map with their names."""
    language = visit.language
    return {
        "elements": [(element_title(each.name, language), each) for each in summary.elements[:MOST_ELEMENTS]],
        "sections": [(title(each.name, language), each) for each in in_page_order(summary.sections, order)],
    }


def _rows(visit: Visit, kind: MapKind, summaries: list[MapSummary]) -> list[dict[str, Any]]:
    """Return the table's rows: a name, a value for each range, and the change between them."""
    if not summaries:
        return []
    rows = [_row(visit.say("pageviews"), [float(each.pageviews) for each in summaries], lambda value: f"{value:,.0f}")]
    if kind == "scroll":
        for at, reach in enumerate(summaries[0].reached):
            depths = [each.reached[at].px for each in summaries]
            shown = ["–" if px is None else f"{px:,} px" for px in depths]
            rows.append({"name": visit.say("came_to", percent=reach.percent), "cells": shown, "change": ""})
        return rows
    unit = MS if kind == "attention" else 1

    def total(value: float) -> str:
        return visit.say("seconds", s=f"{value:,.0f}") if unit == MS else f"{value:,.0f}"

    def mean(value: float) -> str:
        return visit.say("seconds", s=f"{value:.1f}") if unit == MS else f"{value:.2f}"

    rows.append(_row(visit.say(f"total_{kind}"), [each.total / unit for each in summaries], total))
    means = [each.total / unit / each.pageviews if each.pageviews else 0.0 for each in summaries]
    rows.append(_row(visit.say("per_view"), means, mean))
    return rows


def _row(name: str, values: list[float], shown: Any) -> dict[str, Any]:
    change = ""
    if len(values) == 2 and values[1]:
        change = f"{100 * (values[0] / values[1] - 1):+.0f} %"
    return {"name": name, "cells": [shown(value) for value in values], "change": change}
