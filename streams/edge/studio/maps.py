"""The studio's heatmaps: one range, or two side by side on one scale."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web

from infra.redis.response_cache import Kept
from processors.pictures.summary import MapSummary
from streams.edge.http.errors import HttpError
from streams.edge.site.maps import LONGEST, answer, found, parsed
from streams.edge.studio.auth import PATH, Redirect, Visit
from streams.edge.studio.findings import panel
from streams.pictures.maps import Device, MapKind, MapQuery

# length of a range and step of its end, in s: with steps, the cache finds a map again
PRESETS = {"1h": (3_600, 300), "24h": (86_400, 3_600), "7d": (7 * 86_400, 3_600), "30d": (30 * 86_400, 3_600)}
RANGES = (*PRESETS, "custom")
COMPARISONS = ("none", "previous", "custom")
YEARS = range(2000, 2100)
MS = 1_000
_decoder = msgspec.json.Decoder(MapSummary)


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
    _check_owner(visit, lp_id)
    filters = _filters(visit)
    zone = ZoneInfo(visit.services.settings.timezone)
    if wrong := _wrong_times(filters, zone):
        return _page(visit, lp_id, filters, zone, wrong=wrong)
    ranges = _ranges(filters, zone)
    queries = [MapQuery(lp_id, filters.kind, filters.device, each.start, each.end, visit.language) for each in ranges]
    findings, *responses = await asyncio.gather(
        panel(visit, queries[0], again=filters.again),
        *(found(visit.services, query, "summary", again=filters.again) for query in queries),
    )
    summaries = [_decoder.decode(response.body) for response in responses]
    if len(queries) == 2 and summaries[0].device != summaries[1].device:
        # maps of two devices cannot be compared: use the first map's device
        queries[1] = replace(queries[1], device=cast(Device, summaries[0].device))
        summaries[1] = _decoder.decode((await found(visit.services, queries[1], "summary")).body)
    if filters.again:
        await _redraw(visit, filters, queries, summaries)
    shown = {"queries": queries, "summaries": summaries, "responses": responses, "findings": findings}
    return _page(visit, lp_id, filters, zone, **shown)


async def _redraw(visit: Visit, filters: Wanted, queries: list[MapQuery], summaries: list[MapSummary]) -> None:
    """Redraw the pictures, then redirect to an address whose reload does not redraw again."""
    tops = _tops(filters.kind, summaries)
    await asyncio.gather(
        *(
            found(visit.services, _shown(query, summary, top), "png", again=True)
            for query, summary, top in zip(queries, summaries, tops, strict=True)
        )
    )
    query = [(name, value) for name, value in visit.request.query.items() if name != "again"]
    raise Redirect(f"{PATH}/maps/{quote(queries[0].lp_id)}?{urlencode(query)}")


def _shown(query: MapQuery, summary: MapSummary, top: float | None) -> MapQuery:
    """Return the query of a summary's picture."""
    return replace(query, device=cast(Device, summary.device), top=top)


async def picture(visit: Visit, lp_id: str) -> web.Response:
    """Return a map's PNG, for the images of the page."""
    _check_owner(visit, lp_id)
    query = parsed(lp_id, visit.request)
    return answer(visit.request, await found(visit.services, query, "png", again="again" in visit.request.query))


def _check_owner(visit: Visit, lp_id: str) -> None:
    if not visit.known.caller.tenant.owns(lp_id):
        raise HttpError(404, visit.say("not_found"))


# -- filters -----------------------------------------------------------------------------------------------


def _filters(visit: Visit) -> Wanted:
    """Return the filters. An unknown value counts as not set: the form sends only known values."""
    query = visit.request.query

    def one_of(name: str, known: tuple[str, ...], default: str) -> str:
        value = query.get(name, default)
        return value if value in known else default

    device = one_of("device", ("any", *get_args(Device)), "any")
    return Wanted(
        cast(MapKind, one_of("kind", get_args(MapKind), "click")),
        None if device == "any" else cast(Device, device),
        one_of("range", RANGES, "7d"),
        one_of("compare", COMPARISONS, "none"),
        {name: query.get(name, "")[:32] for name in ("from", "to", "from2", "to2")},
        "again" in query,
    )


def _ranges(filters: Wanted, zone: ZoneInfo) -> list[Range]:
    """Return the range, and the one to compare. Raise ValueError for `_wrong_times`."""
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


def _page(
    visit: Visit,
    lp_id: str,
    filters: Wanted,
    zone: ZoneInfo,
    *,
    wrong: list[str] | None = None,
    queries: list[MapQuery] | None = None,
    summaries: list[MapSummary] | None = None,
    responses: list[Kept] | None = None,
    findings: dict[str, Any] | None = None,
) -> web.Response:
    summaries, queries = summaries or [], queries or []
    made = datetime.fromtimestamp(min((each.made_ms for each in responses or []), default=0) / MS, zone)
    redraw = visit.request.rel_url.update_query(again="1")
    return visit.page(
        "map",
        status=422 if wrong else 200,
        lp_id=lp_id,
        wrong=wrong or [],
        kind=filters.kind,
        kinds=[(kind, visit.say(f"kind_{kind}")) for kind in get_args(MapKind)],
        device=filters.device or "any",
        devices=_devices(visit, summaries),
        range=filters.range,
        ranges=RANGES,
        compare=filters.compare,
        given=filters.given,
        zone=zone,
        maps=_figures(visit, filters, zone, queries, summaries),
        findings=findings,
        rows=_rows(visit, filters.kind, summaries),
        made=f"{made:%H:%M}",
        redraw=str(redraw),
        now=filters.range in PRESETS,
    )


def _devices(visit: Visit, summaries: list[MapSummary]) -> list[tuple[str, str]]:
    seen = summaries[0].devices if summaries else {}
    named = [(device, visit.say(f"device_{device}")) for device in get_args(Device)]
    counted = [(device, f"{name} {seen[device]:,}" if device in seen else name) for device, name in named]
    return [("any", visit.say("device_any")), *counted]


def _figures(
    visit: Visit, filters: Wanted, zone: ZoneInfo, queries: list[MapQuery], summaries: list[MapSummary]
) -> list[dict[str, Any]]:
    second = "range_b" if filters.compare == "previous" else "range_b_other"
    titles = (visit.say("range_a"), visit.say(second))
    tops = _tops(filters.kind, summaries)
    figures = []
    for title, query, summary, top in zip(titles, queries, summaries, tops, strict=False):
        device = visit.say(f"device_{summary.device}")
        name = visit.say(f"kind_{query.kind}")
        alt = visit.say("map_text", kind=name, lp_id=query.lp_id, device=device, pageviews=f"{summary.pageviews:,}")
        figures.append(
            {
                "title": title if len(summaries) == 2 else f"{name} · {device}",
                "told": _period(query, zone),
                "picture": _address(_shown(query, summary, top)),
                "alt": alt,
                "summary": summary,
            }
        )
    return figures


def _period(query: MapQuery, zone: ZoneInfo) -> str:
    return " – ".join(f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (query.start, query.end) if at)


def _tops(kind: MapKind, summaries: list[MapSummary]) -> list[float | None]:
    """Return the value of each map's hottest colour, so that a colour means the same per pageview."""
    if len(summaries) < 2 or kind == "scroll":
        return [None] * len(summaries)
    per_view = max((each.peak / each.pageviews for each in summaries if each.pageviews), default=0.0)
    return [float(f"{per_view * each.pageviews:.3g}") or None if each.pageviews else None for each in summaries]


def _address(query: MapQuery) -> str:
    values: dict[str, str] = {"kind": query.kind, "device": query.device or "", "lang": query.language}
    for name, at in (("from", query.start), ("to", query.end)):
        if at is not None:
            values[name] = str(int(at.timestamp() * MS))
    if query.top is not None:
        values["top"] = f"{query.top:g}"
    return f"{PATH}/pictures/{quote(query.lp_id)}.png?{urlencode(values)}"


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
