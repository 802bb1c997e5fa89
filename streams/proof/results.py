"""A reader of the new records of `lp.results`, in a task beside a load or a test."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader
from infra.kafka.skips import pass_over
from schemas.errors import Retryable
from schemas.generation import RESULTS
from streams.proof.beside import beside

FETCH_S, AGAIN_S = 0.2, 1.0

log = logging.getLogger(__name__)

Take = Callable[[str, bytes, int], None]


@asynccontextmanager
async def new_results(servers: str, take: Take) -> AsyncIterator[asyncio.Task[None]]:
    """Pass request id, value and time (ms) of each new result to `take` while the block runs.

    Yield the task that reads. Results from before and tombstones are not passed.
    """
    async with build_consumer(servers) as consumer:
        partitions = await partitions_of(servers, RESULTS)
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        async with beside(read(Reader(consumer), take), f"the reader of {RESULTS}") as reading:
            yield reading


async def read(reader: Reader, take: Take) -> None:
    """Read until cancelled. Skip unreadable batches, and try again while Kafka does not answer.

    Raise KafkaError if another try cannot help, for example without permission to read.
    """
    while True:
        try:
            if reader.unreadable:
                await pass_over(reader)
            fetched = await reader.fetch(FETCH_S)
        except (KafkaError, Retryable) as error:
            if isinstance(error, KafkaError) and not error.retriable:
                raise
            log.warning("%s: %s, trying again", RESULTS, type(error).__name__)
            await asyncio.sleep(AGAIN_S)
            continue
        for part in fetched.values():
            for record in part.records:
                if record.value is not None:
                    # other programs write to the topic too, with keys of any bytes
                    take((record.key or b"").decode(errors="replace"), record.value, record.timestamp)
