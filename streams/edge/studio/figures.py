"""Maps side by side: their summaries, a common scale of colours, and the addresses of their pictures."""

import asyncio
from dataclasses import replace
from typing import Any, cast, get_args
from urllib.parse import quote, urlencode

import msgspec

from infra.redis.response_cache import CachedResponse
from processors.pictures.summary import MapSummary
from schemas.heatmap import Device
from streams.edge.site.maps import map_of
from streams.edge.studio.auth import PATH, Visit
from streams.pictures.maps import MapKind, MapQuery

MS = 1_000
_decoder = msgspec.json.Decoder(MapSummary)


def kind_and_device(visit: Visit) -> tuple[MapKind, Device | None]:
    """Return the kind of map and the device of the query. An unknown value counts as not set."""
    kind, device = visit.request.query.get("kind"), visit.request.query.get("device")
    known = cast(MapKind, kind if kind in get_args(MapKind) else "click")
    return known, cast(Device, device) if device in get_args(Device) else None


async def summaries_of(
    visit: Visit, queries: list[MapQuery], *, again: bool = False
) -> tuple[list[MapQuery], list[MapSummary], list[CachedResponse]]:
    """Return queries of one device, their summaries, and the answers that hold them.

    Maps of two devices cannot be compared, so all have the first map's device.
    """
    first = await map_of(visit.services, queries[0], "summary", fresh=again)
    device = cast(Device, _decoder.decode(first.body).device)
    rest = [replace(query, device=device) for query in queries[1:]]
    answers = [first, *await asyncio.gather(*(map_of(visit.services, each, "summary", fresh=again) for each in rest))]
    return [queries[0], *rest], [_decoder.decode(answer.body) for answer in answers], answers


def shown(query: MapQuery, summary: MapSummary, top: float | None) -> MapQuery:
    """Return the query of a summary's picture."""
    return replace(query, device=cast(Device, summary.device), top=top)


def tops(kind: MapKind, summaries: list[MapSummary]) -> list[float | None]:
    """Return the value of each map's hottest colour, so that a colour means the same per pageview."""
    if len(summaries) < 2 or kind == "scroll":
        return [None] * len(summaries)
    per_view = max((each.peak / each.pageviews for each in summaries if each.pageviews), default=0.0)
    return [float(f"{per_view * each.pageviews:.3g}") or None if each.pageviews else None for each in summaries]


def figure(visit: Visit, title: str, query: MapQuery, summary: MapSummary, top: float | None) -> dict[str, Any]:
    """Return the variables of a figure: its title, picture, alternative text and numbers."""
    device = visit.say(f"device_{summary.device}")
    name = visit.say(f"kind_{query.kind}")
    alt = visit.say("map_text", kind=name, lp_id=query.lp_id, device=device, pageviews=f"{summary.pageviews:,}")
    picture = _address(shown(query, summary, top))
    told = " – ".join(visit.local(at) for at in (query.start, query.end) if at)
    if summary.readable_from is not None:
        told = f"{told}. {visit.say('readable_from', day=summary.readable_from)}"
    return {"title": title, "told": told, "picture": picture, "alt": alt, "summary": summary}


def _address(query: MapQuery) -> str:
    values: dict[str, str] = {"kind": query.kind, "device": query.device or "", "lang": query.language}
    times = {"from": query.start, "to": query.end}
    values |= {name: str(int(at.timestamp() * MS)) for name, at in times.items() if at is not None}
    if query.top is not None:
        values["top"] = f"{query.top:g}"
    return f"{PATH}/pictures/{quote(query.lp_id)}.png?{urlencode(values)}"
