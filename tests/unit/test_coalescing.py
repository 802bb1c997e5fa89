"""The times at which the producer's batches leave."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder

from infra.kafka.coalescing import BATCH_BYTES, CoalescingProducer

SLOW, USUAL = "slow", "usual"


class Broker:
    """A producer that accepts each batch at once, and notes its topic and number of records."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    def create_batch(self) -> BatchBuilder:
        """Return an empty batch."""
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        """Note the batch."""
        self.batches.append((topic, batch.record_count()))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=0))
        return done


async def test_records_of_a_patient_topic_gather_while_others_leave() -> None:
    broker = Broker()
    producer = CoalescingProducer(lambda: broker, 60.0, {SLOW: 0.5})
    await producer.start()
    acknowledged: asyncio.Queue[str] = asyncio.Queue()

    def send(topic: str, partition: int = 0) -> None:
        producer.send(topic, partition, None, b"x", lambda _: acknowledged.put_nowait(topic))

    send(SLOW)
    send(USUAL)
    assert await acknowledged.get() == USUAL
    send(SLOW)
    send(SLOW, partition=1)
    assert [await acknowledged.get() for _ in range(3)] == [SLOW] * 3
    assert broker.batches == [(USUAL, 1), (SLOW, 2), (SLOW, 1)], "the patient records leave together"
    await producer.stop()
