"""The thread that owns a worker's Kafka consumer: it stops a partition at an unreadable batch."""

import logging
import time
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from infra.kafka.consumer import READ_COMMITTED
from infra.kafka.reading import Fetched, Reader, Unreadable
from infra.kafka.skips import SkipLetters, past_batch, refusal, send_passed
from streams.runtime import metrics

log = logging.getLogger(__name__)

SOON_S, POLL_S = 0.2, 5.0


class ReadingThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # faust publishes no types
    """Faust's consumer thread with our reader, which reads committed records only.

    A batch that cannot be read stops only its own partition. A stopped partition is fetched again every few seconds.
    It continues behind the batch as soon as the dead-letter topic has a skip letter for it. Batches that the reader
    passes by itself get a letter soon after. `lean` is the reader's.
    """

    reader: Reader
    lean = False

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for this, and aiokafka reads it when the consumer starts.
        consumer._isolation_level = READ_COMMITTED
        self.reader = Reader(consumer, lean=self.lean)
        # The offsets of partitions that are stopped without a skip letter, until a fetch passes them.
        self.stopped: dict[TopicPartition, int] = {}
        servers = ",".join(driver.server_list(transport.url, transport.default_port))
        # Faust's addresses do not include the protocol and login of the brokers.
        self._brokers = getattr(transport.app, "brokers", servers)
        self._broker_kind = getattr(transport.app, "broker_kind", "apache")
        self._report_at = 0.0
        self._letters = SkipLetters(self._brokers)
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: AbstractSet[TP], timeout: float = 0.0, max_records: int | None = None
    ) -> dict[TP, Any]:
        if not self.consumer.flow_active:
            return {}
        fetched = await self.reader.fetch(timeout, active_partitions, max_records)
        for tp in self.stopped.keys() & fetched.keys():
            self._clear(tp)
            log.warning("%s[%d] continues at offset %d", tp.topic, tp.partition, fetched[tp].next)
        return self._answer(fetched)

    def _answer(self, fetched: dict[TP, Fetched]) -> dict[TP, Any]:
        """Return the records by partition, in the form that Faust expects."""
        return {tp: part.records for tp, part in fetched.items() if part.records}

    def _clear(self, tp: TopicPartition) -> None:
        del self.stopped[tp]
        metrics.UNREADABLE.remove(tp.topic, str(tp.partition))

    @Service.task  # type: ignore[untyped-decorator]
    async def _go_on(self) -> None:
        """Look for the skip letter of each stopped partition, at once and then every few seconds."""
        looked = 0.0
        while not self.should_stop:
            await self.sleep(SOON_S)
            await self._report()
            due = time.monotonic() - looked >= POLL_S
            looked = time.monotonic() if due else looked
            for tp, stop in list(self.reader.unreadable.items()):
                if due or self.stopped.get(tp) != stop.offset:
                    await self._look(tp, stop)

    async def _look(self, tp: TopicPartition, stop: Unreadable) -> None:
        to = await self._past(tp, stop.offset)
        if self.reader.unreadable.get(tp) != stop:
            return  # a rebalance has changed it meanwhile
        if to is not None:
            log.warning("%s[%d] skips offsets %d to %d, as its skip letter says", *tp, stop.offset, to - 1)
            self.reader.skip(tp, to)
        elif self.stopped.get(tp) == stop.offset:
            self.reader.retry(tp)
        else:
            self.stopped[tp] = stop.offset
            metrics.UNREADABLE.labels(tp.topic, str(tp.partition)).set(1)
            log.error("%s", refusal(tp, stop))

    async def _past(self, tp: TopicPartition, offset: int) -> int | None:
        try:
            return await past_batch(self._letters, self.reader, tp, offset)
        except Exception as error:  # noqa: BLE001 - a failure must not end the worker; it looks again later
            log.warning("%s[%d]: could not read the skip letters: %r", *tp, error)
            return None

    async def _report(self) -> None:
        """Send letters for the batches that the reader has passed.

        After a failure they wait for some seconds.
        """
        if not self.reader.hopeless or time.monotonic() < self._report_at:
            return
        passed = list(self.reader.hopeless)
        self.reader.hopeless.clear()
        try:
            failed = await send_passed(self._brokers, self._broker_kind, passed)
        except Exception as error:  # noqa: BLE001 - a failure must not end the worker; it tries again later
            log.warning("could not send %d dead letters: %r", len(passed), error)
            failed = passed
        if failed:
            self.reader.hopeless.extendleft(reversed(failed))
            self._report_at = time.monotonic() + POLL_S

    def _forget(self) -> None:
        self.reader.forget()
        for tp in list(self.stopped):
            self._clear(tp)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget the stopped partitions: their next owner stops at the same offsets."""
        self._forget()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Start with no stopped partitions."""
        self._forget()
        await super().on_partitions_assigned(assigned, generation_id)
