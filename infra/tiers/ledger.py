"""What has left the hot tables: steps of objects, and erasures.

Rows are added under tokens, so that of two who take the same step at once one does, and both know which.
"""

from collections.abc import Sequence
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
    """The tables tier_objects and erasures."""

    def __init__(self, clickhouse: ClickHouse, author: str) -> None:
        """`author` is of one run, and of no other."""
        self._clickhouse = clickhouse
        self._author = author

    async def objects(self) -> list[TierObject]:
        """Every object after its last step, oldest day first."""
        return [_object(row) for row in await self._clickhouse.rows(LATEST)]

    async def publish(self, one: TierObject, number: int, now: datetime) -> bool:
        """Take the first step of an object, the `number`th of its table and day; False when someone else took it.

        Whoever moves a day knows how many objects it has, and looks at the partitions after that: of two who would
        move the same rows, both would publish the same number.
        """
        return await self._add([one], f"publish:{one.source}:{one.day.isoformat()}:{number}", now)

    async def take(self, steps: Sequence[TierObject], now: datetime) -> bool:
        """Take the steps, all or none at one moment; False when the first was taken by someone else."""
        return await self._add(steps, f"{steps[0].name}:{steps[0].revision}", now)

    async def _add(self, steps: Sequence[TierObject], token: str, now: datetime) -> bool:
        rows = [_row(one, self._author, now) for one in steps]
        first = steps[0]
        await self._clickhouse.insert("lpstream.tier_objects", pa.Table.from_pylist(rows, OBJECT_ROW), token)
        found = await self._clickhouse.rows(AUTHOR, {"object": first.name, "revision": first.revision})
        return [row["author"] for row in found] == [self._author]

    async def erasures(self) -> list[Erasure]:
        """Every erasure, in order."""
        rows = await self._clickhouse.rows("SELECT * FROM lpstream.erasures ORDER BY number")
        return [
            Erasure(int(row["number"]), tuple(row["lp_ids"]), row["prefix"], row["asked_at"].replace(tzinfo=UTC))
            for row in rows
        ]

    async def ask(self, erasure: Erasure) -> None:
        """Note an erasure; from then on every run brings it further until it is done."""
        row = {
            "number": erasure.number,
            "lp_ids": list(erasure.lp_ids),
            "prefix": erasure.prefix,
            "asked_at": erasure.asked_at,
        }
        table = pa.Table.from_pylist([row], ERASURE_ROW)
        await self._clickhouse.insert("lpstream.erasures", table, f"erasure:{erasure.number}")


def _row(one: TierObject, author: str, now: datetime) -> dict[str, Any]:
    return {
        "source": one.source,
        "day": one.day,
        "object": one.name,
        "revision": one.revision,
        "step": one.step.value,
        "partitions": list(one.partitions),
        "rows": one.fingerprint.rows,
        "bytes": one.bytes,
        "sums": list(one.fingerprint.sums),
        "digest": one.fingerprint.digest,
        "lp_ids": list(one.lp_ids),
        "erased": one.erased,
        "until": one.until,
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
