"""`lpstream bench --only bytes_at_rest`: bytes per event in each tier, compared with other formats.

The other formats are the beacons as JSON lines, the same gzipped, and the table of points that PostHog documents
(posthog/heatmaps/sql.py: a row per click or rest of the pointer, 16-pixel grid, their codecs, order and types), which
has no scrolling. Every table is merged to one part per partition before its size is read.
"""

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pyarrow as pa

from infra.tiers.tables import HOT_TABLES
from schemas.errors import LpstreamError
from streams.proof.bench.frame import Row, Say, own_stack, quiet, row
from streams.proof.traffic import Traffic
from streams.proof.twin import COPY, Twin
from streams.tiers.run import status

PAGES = tuple(f"t1-{number:04d}" for number in range(20))
VISITS = (2_000, 20_000)
SCALE = 16
POINT_TYPES = {"c": "click", "r": "rageclick", "d": "deadclick", "m": "mousemove"}
POINTS = """\
CREATE OR REPLACE TABLE untiered.points
(
    session_id VARCHAR, team_id Int64, distinct_id VARCHAR, timestamp DateTime64(6, 'UTC'),
    x Int16, y Int16, scale_factor Int16, viewport_width Int16, viewport_height Int16,
    pointer_target_fixed Bool, current_url VARCHAR, type LowCardinality(String),
    _timestamp DateTime, _offset UInt64, _partition UInt64
)
ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp)
ORDER BY (type, team_id, toDate(timestamp), current_url, viewport_width)"""
AT_ONCE = 500_000


def bytes_at_rest(*, rounds: int, say: Say = quiet) -> list[Row]:
    """Return the rows `bytes_at_rest`: bytes per event of each tier, with each other format as reference.

    It runs a single round, whatever `rounds` is, because sizes do not vary.
    """
    del rounds
    with own_stack(say, "tansu") as stack:
        rows = []
        for visits in VISITS:
            say(f"{visits:,} visits")
            rows += asyncio.run(_weigh(Twin(stack, Traffic(PAGES, visits), hot_days=1, warm_days=2), visits))
        return rows


async def _weigh(twin: Twin, visits: int) -> list[Row]:
    async with twin:
        records = twin.traffic.day(twin.day(0))
        await twin.insert(records, "day")
        for name in HOT_TABLES:
            await twin.writer.command(f"OPTIMIZE TABLE {name} FINAL")
        others = await _others(twin, records)
        tiers = {"hot": await _tier(twin, "hot")}
        # UTC days: the last beacons of the day arrive on the next day
        for today, tier in ((3, "warm"), (5, "cold")):
            await twin.tiers(today).run()
            tiers[tier] = await _tier(twin, tier)
        events = int((await twin.copy.rows("SELECT sum(events) AS n FROM heatmap_windows"))[0]["n"])
    detail = {"events": events, "beacons": len(records), "visits": visits, "pages": len(PAGES)}
    return [
        row(
            "bytes_at_rest",
            f"{tier} against {name}, {visits:,} visits a day",
            size / events,
            "bytes/event",
            other / events,
            detail | {"bytes": size, "reference_bytes": other},
            digits=2,
            ratio_digits=3,
        )
        for tier, size in tiers.items()
        for name, other in others.items()
    ]


async def _tier(twin: Twin, tier: str) -> int:
    """Return the bytes of a tier. Raise LpstreamError if another tier holds rows."""
    held = {row["tier"]: row for row in await status(twin.settings)}
    if any(row["rows"] for name, row in held.items() if name != tier):
        raise LpstreamError(f"bytes_at_rest: not all rows are {tier}: {held}")
    return int(held[tier]["bytes"])


async def _others(twin: Twin, records: list[tuple[int, bytes]]) -> dict[str, int]:
    lines = b"".join(body + b"\n" for _, body in records)
    return {
        "raw JSON": len(lines),
        "gzipped JSON": len(gzip.compress(lines, 6)),
        "a row per point (PostHog)": await _points(twin, records),
    }


async def _points(twin: Twin, records: list[tuple[int, bytes]]) -> int:
    """Fill the table of points, and return its bytes."""
    await twin.writer.command(POINTS)
    rows = [point for offset, record in enumerate(records) for point in _points_of(*record, offset)]
    for at in range(0, len(rows), AT_ONCE):
        await twin.writer.insert(f"{COPY}.points", pa.Table.from_pylist(rows[at : at + AT_ONCE]), f"points/{at}")
    await twin.writer.command(f"OPTIMIZE TABLE {COPY}.points FINAL")
    query = (
        "SELECT sum(bytes_on_disk) AS n FROM system.parts WHERE active AND database = {d:String} AND table = 'points'"
    )
    return int((await twin.writer.rows(query, {"d": COPY}))[0]["n"])


def _points_of(at_ms: int, body: bytes, offset: int) -> Iterator[dict[str, Any]]:
    """Yield a beacon's points as PostHog stores them. The pageview stands for session and visitor."""
    beacon = msgspec.json.decode(body)
    fixed = set(beacon.get("fixed", ()))
    visitor = str(uuid5(NAMESPACE_URL, beacon["pageview_id"]))
    for index, letter in enumerate(beacon["type"]):
        if letter in POINT_TYPES:
            yield {
                "session_id": beacon["pageview_id"],
                "team_id": 1,
                "distinct_id": visitor,
                "timestamp": (beacon["t0"] + beacon["dt"][index]) * 1000,
                "x": round(beacon["x"][index] / SCALE),
                "y": round(beacon["y"][index] / SCALE),
                "scale_factor": SCALE,
                "viewport_width": round(beacon["viewport_w"] / SCALE),
                "viewport_height": round(beacon["viewport_h"] / SCALE),
                "pointer_target_fixed": index in fixed,
                "current_url": f"https://www.example.com/{beacon['lp_id']}",
                "type": POINT_TYPES[letter],
                "_timestamp": at_ms // 1000,
                "_offset": offset,
                "_partition": offset % 12,
            }
