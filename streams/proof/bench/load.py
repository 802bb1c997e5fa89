"""The logs of the pipeline benchmarks: beacons of one size in `heatmap.events`, and their totals.

Bodies come from a seeded pool of the visitor model, each with a new pageview id and time. The pool and the span of
times decide how many events fold into a row. So both are arguments, and the benchmarks report rows per event.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import numpy.typing as npt
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.kafka.access import reach
from processors.heatmap.windows import WINDOW_S
from schemas.errors import Retryable
from schemas.heatmap import TOPIC
from streams.proof.load import POOL, Template, drawn

BATCH_BYTES = 16_384  # the default of producers in Kafka and aiokafka
BLOCK = 20_000
MURMUR, MURMUR_SEED = 0x5BD1E995, 0x9747B28C
WORD = 4

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Load:
    """The content of a log: `records` beacons of `size` events over `lps` pages, begun within `span_ms`.

    The snippet posts at least every 5 s, so the events in a record of a live log are at most that old.
    """

    size: int
    records: int
    lps: int = 200
    span_ms: int = 5_000
    pool: int = 20_000
    seed: int = 1
    prefix: str = "lp_"

    @property
    def events(self) -> int:
        """The total number of events."""
        return self.size * self.records


@dataclass(slots=True)
class Filled:
    """The result of filling a log: totals by column of heatmap_windows, bytes, and seconds."""

    load: Load
    totals: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    seconds: float = 0.0


def templates(load: Load, now_ms: int) -> list[Template]:
    """Return the pool of templates, with another seed for each part of it."""
    pool: list[Template] = []
    count = min(load.pool, load.records)
    for first in range(0, count, POOL):
        seed, size = load.seed + first, min(POOL, count - first)
        part = drawn(load.size, size, lps=load.lps, seed=seed, now_ms=now_ms, prefix=load.prefix)
        pool += [template for _, template in part]
    return pool


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return `infra.kafka.producer.partition_of` of many keys at once.

    All keys must have the same length, a multiple of four.
    """
    words = np.frombuffer(b"".join(keys), "<u4").reshape(len(keys), -1)
    length = words.shape[1] * WORD
    hashes: Words = np.full(len(keys), MURMUR_SEED ^ length, dtype=np.uint32)
    with np.errstate(over="ignore"):
        for word in words.T:
            mixed = word * np.uint32(MURMUR)
            mixed ^= mixed >> np.uint32(24)
            hashes = (hashes * np.uint32(MURMUR)) ^ (mixed * np.uint32(MURMUR))
        hashes ^= hashes >> np.uint32(13)
        hashes *= np.uint32(MURMUR)
        hashes ^= hashes >> np.uint32(15)
    placed: list[int] = ((hashes & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)).tolist()
    return placed


def records(load: Load, partitions: int, filled: Filled, now_ms: int) -> Iterator[tuple[int, bytes]]:
    """Yield the partition and body of each record in order, and update `filled` block by block."""
    rng = random.Random(load.seed)
    pool = templates(load, now_ms)
    left = load.records
    while left:
        count = min(BLOCK, left)
        left -= count
        chosen = rng.choices(range(len(pool)), k=count)
        keys = [str(UUID(int=rng.getrandbits(128), version=4)).encode() for _ in range(count)]
        for index, times in Counter(chosen).items():
            for name, number in pool[index].counts.items():
                filled.totals[name] += number * times
        earlier = rng.choices(range(load.span_ms), k=count)
        bodies = [pool[at].body(key, pool[at].t0 - ms) for at, key, ms in zip(chosen, keys, earlier, strict=True)]
        filled.bytes += sum(map(len, bodies))
        yield from zip(partitions_of(keys, partitions), bodies, strict=True)


async def fill(bootstrap: str, load: Load, *, seconds: float = 0.0) -> Filled:
    """Append the load to `heatmap.events` at full speed or spread over `seconds`, then close its buckets.

    The function builds the batches itself, in the size of a busy producer's. A future for each record would take
    several times as long.
    """
    filled = Filled(load)
    started = time.monotonic()
    async with appending(bootstrap) as batches:
        for number, (partition, body) in enumerate(records(load, batches.partitions, filled, int(time.time() * 1000))):
            await batches.append(partition, body)
            if seconds and number % BLOCK == 0:
                await asyncio.sleep(max(0.0, started + seconds * number / load.records - time.monotonic()))
        await batches.finish()
        filled.seconds = time.monotonic() - started
        await batches.close_buckets()
    return filled


class Batches:
    """The open batches, one for each partition."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self.partitions = partitions
        self._producer = producer
        self._open = [producer.create_batch() for _ in range(partitions)]
        self._sent: list[asyncio.Future[object]] = []

    async def append(self, partition: int, body: bytes, time_ms: int | None = None) -> None:
        """Append a record; send a full batch first."""
        if self._open[partition].append(key=None, value=body, timestamp=time_ms) is None:
            await self._send(partition)
            self._open[partition].append(key=None, value=body, timestamp=time_ms)

    async def _send(self, partition: int) -> None:
        batch, self._open[partition] = self._open[partition], self._producer.create_batch()
        batch.close()
        self._sent.append(await self._producer.send_batch(batch, TOPIC, partition=partition))

    async def finish(self) -> None:
        """Send the open batches, and wait until the broker has acknowledged everything."""
        for partition, batch in enumerate(self._open):
            if batch.record_count():
                await self._send(partition)
        await asyncio.gather(*self._sent)
        self._sent = []

    async def close_buckets(self) -> None:
        """Append an empty record of a later 5-second bucket to each partition, to close the last bucket.

        A live log does that by itself. Without it, the last bucket of each partition would wait for the worker's clock,
        which would be most of a drain's time.
        """
        await asyncio.sleep(WINDOW_S + 0.1)
        send = self._producer.send_and_wait
        await asyncio.gather(*(send(TOPIC, b"", partition=number) for number in range(self.partitions)))


@contextlib.asynccontextmanager
async def appending(servers: str) -> AsyncIterator[Batches]:
    """Yield batches of records for `heatmap.events`; close their producer after the block.

    Raise Retryable if Kafka does not accept the records.
    """
    producer = AIOKafkaProducer(**reach(servers), max_batch_size=BATCH_BYTES, acks="all")
    await producer.start()
    try:
        yield Batches(producer, len(await producer.partitions_for(TOPIC)))
    except KafkaError as error:
        raise Retryable(f"Kafka at {servers}: {type(error).__name__}: {error}") from error
    finally:
        await producer.stop()
