"""The ledger of the tiers: the steps of objects that left the hot tables, and erasures.

Rows are inserted with deduplication tokens. When two runs take the same step at once, one wins and both know which.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from infra.clickhouse.client import ClickHouse
from schemas.tiers import Erasure, Fingerprint, Step, TierObject

LATEST = (
    "SELECT source, day, object, max(revision) AS last, argMax(o.step, o.revision) AS step,"
    " argMax(o.partitions, o.revision) AS partitions, argMax(o.rows, o.revision) AS row_count,"
    " argMax(o.bytes, o.revision) AS byte_count, argMax(o.sums, o.revision) AS sums,"
    " argMax(o.digest, o.revision) AS digest, argMax(o.lp_ids, o.revision) AS lp_ids,"
    " argMax(o.erased, o.revision) AS erased, argMax(o.until, o.revision) AS until"
    " FROM lpstream.tier_objects AS o GROUP BY source, day, object ORDER BY day, source, object"
)
AUTHOR = (
    "SELECT author FROM lpstream.tier_objects WHERE object = {object:String} AND revision = {revision:UInt32} LIMIT 1"
)
STRINGS = pa.list_(pa.string())
OBJECT_ROW = pa.schema(
    [
        ("source", pa.string()),
        ("day", pa.date32()),
        ("object", pa.string()),
        ("revision", pa.uint32()),
        ("step", pa.string()),
        ("partitions", STRINGS),
        ("rows", pa.uint64()),
        ("bytes", pa.uint64()),
        ("sums", pa.list_(pa.uint64())),
        ("digest", pa.uint64()),
        ("lp_ids", STRINGS),
        ("erased", pa.uint32()),
        ("until", pa.date32()),
        ("author", pa.string()),
        ("noted_at", pa.timestamp("s", "UTC")),
    ]
)
ERASURE_ROW = pa.schema(
    [("number", pa.uint32()), ("lp_ids", STRINGS), ("prefix", pa.string()), ("asked_at", pa.timestamp("s", "UTC"))]
)


class Ledger:
    """The tables `tier_objects` and `erasures`."""

    def __init__(self, clickhouse: ClickHouse, author: str) -> None:
        """Set the author, which must be unique to this run."""
        self._clickhouse = clickhouse
        self._author = author

    async def objects(self) -> list[TierObject]:
        """Return every object after its last step, oldest day first."""
        return [_object(row) for row in await self._clickhouse.rows(LATEST)]

    async def begin(self, item: TierObject, now: datetime) -> None:
        """Record that a run begins to write an object, so that a later run may remove it."""
        await self._add([replace(item, revision=0, step=Step.GONE)], f"begin:{item.name}", now)

    async def publish(self, item: TierObject, number: int, now: datetime) -> bool:
        """Take the first step of the `number`th object of a table and day; False if another run took it.

        A run first counts the day's objects, then reads the partitions. So two runs that would move the same rows
        publish the same number, and one of them fails.
        """
        # tokens of 0.1.0 begin with `publish:`; it counted other objects, so the same number may be of another move
        return await self._add([item], f"move:{item.source}:{item.day.isoformat()}:{number}", now)

    async def take(self, steps: Sequence[TierObject], now: datetime) -> bool:
        """Take all steps or none, atomically. Return False if another run took the first."""
        return await self._add(steps, f"{steps[0].name}:{steps[0].revision}", now)

    async def _add(self, steps: Sequence[TierObject], token: str, now: datetime) -> bool:
        rows = [_row(step, self._author, now) for step in steps]
        first = steps[0]
        await self._clickhouse.insert("lpstream.tier_objects", pa.Table.from_pylist(rows, OBJECT_ROW), token)
        authors = await self._clickhouse.rows(AUTHOR, {"object": first.name, "revision": first.revision})
        return [row["author"] for row in authors] == [self._author]

    async def erasures(self) -> list[Erasure]:
        """Return every erasure, in order."""
        rows = await self._clickhouse.rows("SELECT * FROM lpstream.erasures ORDER BY number")
        return [
            Erasure(int(row["number"]), tuple(row["lp_ids"]), row["prefix"], row["asked_at"].replace(tzinfo=UTC))
            for row in rows
        ]

    async def ask(self, erasure: Erasure) -> None:
        """Record an erasure. From then on every run continues it until it is done."""
        row = {
            "number": erasure.number,
            "lp_ids": list(erasure.lp_ids),
            "prefix": erasure.prefix,
            "asked_at": erasure.asked_at,
        }
        table = pa.Table.from_pylist([row], ERASURE_ROW)
        await self._clickhouse.insert("lpstream.erasures", table, f"erasure:{erasure.number}")


def _row(step: TierObject, author: str, now: datetime) -> dict[str, Any]:
    return {
        "source": step.source,
        "day": step.day,
        "object": step.name,
        "revision": step.revision,
        "step": step.step.value,
        "partitions": list(step.partitions),
        "rows": step.fingerprint.rows,
        "bytes": step.bytes,
        "sums": list(step.fingerprint.sums),
        "digest": step.fingerprint.digest,
        "lp_ids": list(step.lp_ids),
        "erased": step.erased,
        "until": step.until,
        "author": author,
        "noted_at": now,
    }


def _object(row: dict[str, Any]) -> TierObject:
    return TierObject(
        source=row["source"],
        day=row["day"],
        name=row["object"],
        revision=int(row["last"]),
        step=Step(row["step"]),
        partitions=tuple(row["partitions"]),
        fingerprint=Fingerprint(int(row["row_count"]), tuple(map(int, row["sums"])), int(row["digest"])),
        bytes=int(row["byte_count"]),
        lp_ids=tuple(row["lp_ids"]),
        erased=int(row["erased"]),
        until=row["until"],
    )
