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
from streams.edge.site.maps import answer, found, owned, parsed
from streams.edge.studio.auth import PATH, Redirect, Visit
from streams.pictures.maps import Device, MapKind, MapQuery

# how long a range is, and the clock's step at which it ends: so that a map is found again in the cache
PRESETS = {"1h": (3_600, 300), "24h": (86_400, 3_600), "7d": (7 * 86_400, 3_600), "30d": (30 * 86_400, 3_600)}
RANGES = (*PRESETS, "custom")
COMPARISONS = ("none", "previous", "custom")
LONGEST, YEARS = timedelta(days=400), range(2000, 2100)
MS = 1_000
_decoder = msgspec.json.Decoder(MapSummary)


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time, to before `end`."""

    start: datetime
    end: datetime

    def before(self) -> "Range":
        """The same length, just before."""
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
    """The page of a page's heatmaps."""
    _check_owner(visit, lp_id)
    wanted = _wanted(visit)
    zone = ZoneInfo(visit.services.settings.timezone)
    try:
        ranges = _ranges(wanted, zone)
    except ValueError:
        return _page(visit, lp_id, wanted, zone, told=visit.say("wrong_time"))
    queries = [MapQuery(lp_id, wanted.kind, wanted.device, one.start, one.end, visit.language) for one in ranges]
    kept = await asyncio.gather(*(found(visit.services, one, "summary", again=wanted.again) for one in queries))
    summaries = [_decoder.decode(one.body) for one in kept]
    if len(queries) == 2 and summaries[0].device != summaries[1].device:
        # a phone's map beside a desktop's says nothing: the first decides
        queries[1] = replace(queries[1], device=cast(Device, summaries[0].device))
        summaries[1] = _decoder.decode((await found(visit.services, queries[1], "summary")).body)
    if wanted.again:
        await _redraw(visit, wanted, queries, summaries)
    return _page(visit, lp_id, wanted, zone, queries=queries, summaries=summaries, kept=kept)


async def _redraw(visit: Visit, wanted: Wanted, queries: list[MapQuery], summaries: list[MapSummary]) -> None:
    """Make the pictures anew, and show them by an address that does not ask for it again when it is reloaded."""
    tops = _tops(wanted.kind, summaries)
    await asyncio.gather(
        *(
            found(visit.services, _shown(query, summary, top), "png", again=True)
            for query, summary, top in zip(queries, summaries, tops, strict=True)
        )
    )
    left = [(name, value) for name, value in visit.request.query.items() if name != "again"]
    raise Redirect(f"{PATH}/maps/{quote(queries[0].lp_id)}?{urlencode(left)}")


def _shown(query: MapQuery, summary: MapSummary, top: float | None) -> MapQuery:
    """The picture that stands for a summary."""
    return replace(query, device=cast(Device, summary.device), top=top)


async def picture(visit: Visit, lp_id: str) -> web.Response:
    """A map's PNG for the page's own images."""
    _check_owner(visit, lp_id)
    query = parsed(lp_id, visit.request)
    return answer(visit.request, await found(visit.services, query, "png", again="again" in visit.request.query))


def _check_owner(visit: Visit, lp_id: str) -> None:
    if not owned(visit.known.caller, lp_id):
        raise HttpError(404, visit.say("not_found"))


# -- filters -----------------------------------------------------------------------------------------------


def _wanted(visit: Visit) -> Wanted:
    """The filters; what is no filter's value counts as not set, for they come from a form of ours."""
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


def _ranges(wanted: Wanted, zone: ZoneInfo) -> list[Range]:
    """The range, and what it is compared with; ValueError when a time is missing or wrong."""
    if wanted.range == "custom":
        first = _custom(wanted.given["from"], wanted.given["to"], zone)
    else:
        first = preset(wanted.range, datetime.now(UTC))
    if wanted.compare == "previous":
        return [first, first.before()]
    if wanted.compare == "custom":
        return [first, _custom(wanted.given["from2"], wanted.given["to2"], zone)]
    return [first]


def preset(name: str, now: datetime) -> Range:
    """A range that ends now, or by the next step of its clock."""
    span, step = PRESETS[name]
    end = datetime.fromtimestamp((int(now.timestamp()) // step + 1) * step, UTC)
    return Range(end - timedelta(seconds=span), end)


def _custom(start: str, end: str, zone: ZoneInfo) -> Range:
    first, last = _local(start, zone), _local(end, zone)
    if not first < last <= first + LONGEST:
        raise ValueError("no range")
    return Range(first, last)


def _local(text: str, zone: ZoneInfo) -> datetime:
    """A time of the zone in UTC; ValueError for what is none, or of no year that exists for us."""
    at = datetime.fromisoformat(text)
    # before any zone is put to it: the first and last years have no such time in another one
    if at.year not in YEARS:
        raise ValueError("no time of ours")
    return at.replace(tzinfo=zone).astimezone(UTC)


# -- the page ----------------------------------------------------------------------------------------------


def _page(
    visit: Visit,
    lp_id: str,
    wanted: Wanted,
    zone: ZoneInfo,
    *,
    told: str | None = None,
    queries: list[MapQuery] | None = None,
    summaries: list[MapSummary] | None = None,
    kept: list[Kept] | None = None,
) -> web.Response:
    summaries, queries = summaries or [], queries or []
    made = datetime.fromtimestamp(min((one.made_ms for one in kept or []), default=0) / MS, zone)
    again = visit.request.rel_url.update_query(again="1")
    return visit.page(
        "map",
        status=422 if told else 200,
        lp_id=lp_id,
        told=told,
        kind=wanted.kind,
        kinds=[(one, visit.say(f"kind_{one}")) for one in get_args(MapKind)],
        device=wanted.device or "any",
        devices=_devices(visit, summaries),
        range=wanted.range,
        ranges=RANGES,
        compare=wanted.compare,
        given=wanted.given,
        zone=zone,
        maps=_figures(visit, wanted, zone, queries, summaries),
        rows=_rows(visit, wanted.kind, summaries),
        made=f"{made:%H:%M}",
        redraw=str(again),
        now=wanted.range in PRESETS,
    )


def _devices(visit: Visit, summaries: list[MapSummary]) -> list[tuple[str, str]]:
    seen = summaries[0].devices if summaries else {}
    named = [(one, visit.say(f"device_{one}")) for one in get_args(Device)]
    counted = [(one, f"{name} {seen[one]:,}" if one in seen else name) for one, name in named]
    return [("any", visit.say("device_any")), *counted]


def _figures(
    visit: Visit, wanted: Wanted, zone: ZoneInfo, queries: list[MapQuery], summaries: list[MapSummary]
) -> list[dict[str, Any]]:
    second = "range_b" if wanted.compare == "previous" else "range_b_other"
    titles = (visit.say("range_a"), visit.say(second))
    tops = _tops(wanted.kind, summaries)
    made = []
    for title, query, summary, top in zip(titles, queries, summaries, tops, strict=False):
        device = visit.say(f"device_{summary.device}")
        name = visit.say(f"kind_{query.kind}")
        alt = visit.say("picture", kind=name, lp_id=query.lp_id, device=device, pageviews=f"{summary.pageviews:,}")
        made.append(
            {
                "title": title if len(summaries) == 2 else f"{name} · {device}",
                "told": _told(query, zone),
                "picture": _address(_shown(query, summary, top)),
                "alt": alt,
                "summary": summary,
            }
        )
    return made


def _told(query: MapQuery, zone: ZoneInfo) -> str:
    return " – ".join(f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (query.start, query.end) if at)


def _tops(kind: MapKind, summaries: list[MapSummary]) -> list[float | None]:
    """What each of two maps' hottest colour stands for, so that a colour means the same for each pageview."""
    if len(summaries) < 2 or kind == "scroll":
        return [None] * len(summaries)
    each = max((one.peak / one.pageviews for one in summaries if one.pageviews), default=0.0)
    return [float(f"{each * one.pageviews:.3g}") or None if one.pageviews else None for one in summaries]


def _address(query: MapQuery) -> str:
    values: dict[str, str] = {"kind": query.kind, "device": query.device or "", "lang": query.language}
    for name, at in (("from", query.start), ("to", query.end)):
        if at is not None:
            values[name] = str(int(at.timestamp() * MS))
    if query.top is not None:
        values["top"] = f"{query.top:g}"
    return f"{PATH}/pictures/{quote(query.lp_id)}.png?{urlencode(values)}"


def _rows(visit: Visit, kind: MapKind, summaries: list[MapSummary]) -> list[dict[str, Any]]:
    """The table's rows: a name, a value for each range, and the change between them."""
    if not summaries:
        return []
    rows = [_row(visit.say("pageviews"), [float(one.pageviews) for one in summaries], lambda value: f"{value:,.0f}")]
    if kind == "scroll":
        for at, reach in enumerate(summaries[0].reached):
            depths = [one.reached[at].px for one in summaries]
            shown = ["–" if px is None else f"{px:,} px" for px in depths]
            rows.append({"name": visit.say("came_to", percent=reach.percent), "cells": shown, "change": ""})
        return rows
    unit = MS if kind == "attention" else 1

    def total(value: float) -> str:
        return visit.say("seconds", s=f"{value:,.0f}") if unit == MS else f"{value:,.0f}"

    def each(value: float) -> str:
        return visit.say("seconds", s=f"{value:.1f}") if unit == MS else f"{value:.2f}"

    rows.append(_row(visit.say(f"total_{kind}"), [one.total / unit for one in summaries], total))
    means = [one.total / unit / one.pageviews if one.pageviews else 0.0 for one in summaries]
    rows.append(_row(visit.say("per_view"), means, each))
    return rows


def _row(name: str, values: list[float], shown: Any) -> dict[str, Any]:
    change = ""
    if len(values) == 2 and values[1]:
        change = f"{100 * (values[0] / values[1] - 1):+.0f} %"
    return {"name": name, "cells": [shown(one) for one in values], "change": change}
