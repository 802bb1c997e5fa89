"""The bare aiokafka peer, without Faust: `getmany`, decode, fold, inserts, a commit per bucket.

It uses the processors' decode and fold.
"""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import TopicPartition

from infra.clickhouse.client import ClickHouse
from infra.kafka.consumer import build_consumer
from processors.heatmap.cuts import SLICES
from processors.heatmap.decode import Fold, decode
from streams.proof.bench.peers import FIRST, Job

FETCH_MS = 200


class Bare:
    """The bare aiokafka peer."""

    name = f"bare aiokafka loop {version('aiokafka')}"

    def prepare(self, cache: Path) -> list[str]:
        """Return the command line; there is nothing to fetch or build."""
        return [sys.executable, "-m", __name__]

    def version(self) -> str:
        """Return aiokafka's version."""
        return f"aiokafka {version('aiokafka')}"


@dataclass(slots=True)
class Open:
    """The open bucket of a partition."""

    index: int
    first: int
    fold: Fold = field(default_factory=Fold)
    records: int = 0
    last: int = -1


class Loop:
    """The program of the peer."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._clickhouse = ClickHouse.open(job.clickhouse_url, job.clickhouse_user, job.clickhouse_password)
        self._open: dict[TopicPartition, Open] = {}
        self._consumer = build_consumer(job.kafka, job.topic, group_id=job.group, auto_offset_reset="earliest")

    async def run(self) -> None:
        """Run until a signal ends the process."""
        await self._consumer.start()
        reported = False
        while True:
            for tp, records in (await self._consumer.getmany(timeout_ms=FETCH_MS)).items():
                if not reported:
                    sys.stdout.write(f"{FIRST}\n")
                    sys.stdout.flush()
                    reported = True
                for part in _by_bucket(tp, records):
                    await self._take(tp, part)

    async def _take(self, tp: TopicPartition, records: list[Any]) -> None:
        index = SLICES.bucket_of(records[0].timestamp, tp.partition)
        part = self._open.get(tp)
        if part and (index > part.index or part.records >= self._job.bucket_records):
            await self._flush(tp, part)
            part = None
        if part is None:
            part = self._open[tp] = Open(index, records[0].offset)
        times = np.fromiter((record.timestamp for record in records), np.int64, len(records))
        part.fold.add(decode([record.value or b"" for record in records], times).columns)
        part.records += len(records)
        part.last = records[-1].offset

    async def _flush(self, tp: TopicPartition, part: Open) -> None:
        token = f"{tp.topic}:{tp.partition}:{part.first}-{part.last}"
        for table, rows in part.fold.tables().items():
            await self._clickhouse.insert(table, rows, token)
        await self._consumer.commit({tp: part.last + 1})


def _by_bucket(tp: TopicPartition, records: list[Any]) -> Iterator[list[Any]]:
    """Split records into runs of the same 5-second bucket; timestamps do not decrease."""
    while records:
        index = SLICES.bucket_of(records[0].timestamp, tp.partition)
        count = len(records)
        if SLICES.bucket_of(records[-1].timestamp, tp.partition) != index:
            count = next(
                at for at, record in enumerate(records) if SLICES.bucket_of(record.timestamp, tp.partition) != index
            )
        yield records[:count]
        records = records[count:]


async def main() -> None:
    """Run the peer."""
    await Loop(Job.from_env()).run()


if __name__ == "__main__":
    asyncio.run(main())
