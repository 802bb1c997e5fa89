"""The restoring of results from `lp.results` into Redis, and of their costs into the ledger.

Redis is a view of the topic. After an outage of Redis, a generation worker restores the results that were published
meanwhile. If Redis is empty, the worker restores all of them.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import pass_over
from infra.redis.budget import Ledger
from infra.redis.results import RESULT_S, ResultStore
from schemas.errors import DecodeError, LpstreamError, Retryable
from schemas.generation import RESULTS, Result, decode_model
from streams.generation.services import GenerationServices
from streams.runtime import metrics

log = logging.getLogger(__name__)

LOOK_S, MARGIN_S = 2.0, 60.0
OnProgress = Callable[[int, int], None]


async def keep_restored(services: GenerationServices) -> None:
    """Restore results whenever Redis has lost some, until cancelled."""
    outages_s: list[float] = []
    services.line.on_return = outages_s.append
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            if not await services.results.present():
                await _restore(services, time.time() - RESULT_S, emptied=True)
            elif outages_s:
                await _restore(services, time.time() - max(outages_s) - MARGIN_S, emptied=False)
            else:
                continue
            outages_s.clear()
            await services.results.mark_present()
        except LpstreamError as error:
            log.warning("results are not restored yet, trying again: %s", error)


async def _restore(services: GenerationServices, since_s: float, *, emptied: bool) -> None:
    servers = services.settings.kafka_bootstrap_servers
    figures = await restore(servers, services.results, services.ledger, since_s, emptied=emptied)
    log.info("restored results from %s: %s", RESULTS, figures)


async def restore(
    servers: str,
    results: ResultStore,
    ledger: Ledger,
    since_s: float,
    on_progress: OnProgress = lambda *_: None,
    *,
    emptied: bool,
) -> dict[str, int]:
    """Restore results from a time (s UTC) to the topic's end; return how many were read and restored.

    Costs are added to the ledger only if Redis was emptied. Otherwise the ledger has them already.
    """
    consumer = build_consumer(servers)
    try:
        await consumer.start()
        places = await partitions_of(servers, RESULTS)
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        starts = await _starts(consumer, places, ends, since_s)
        run = _Run(results, ledger, on_progress)
        figures = await run.read(consumer, starts, ends)
        if emptied:
            await run.refill()
        return figures
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
    finally:
        await consumer.stop()


async def _starts(
    consumer: AIOKafkaConsumer, places: list[TopicPartition], ends: dict[TopicPartition, int], since_s: float
) -> dict[TopicPartition, int]:
    offsets = await consumer.offsets_for_times(dict.fromkeys(places, max(0, int(since_s * 1000))))
    return {tp: ends[tp] if start is None else start.offset for tp, start in offsets.items()}


class _Run:
    """One pass over the topic."""

    def __init__(self, results: ResultStore, ledger: Ledger, on_progress: OnProgress) -> None:
        self._results = results
        self._ledger = ledger
        self._on_progress = on_progress
        self._read = self._restored = 0
        self._costs: dict[str, Counter[tuple[str, str]]] = {"day": Counter(), "month": Counter()}
        self._counted: set[str] = set()

    async def read(
        self, consumer: AIOKafkaConsumer, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> dict[str, int]:
        """Read the partitions in turn and restore their results; return the counts."""
        total = sum(ends[tp] - starts[tp] for tp in starts)
        done = 0
        reader = Reader(consumer)
        for tp, start in starts.items():
            # Results have no dead letters. A batch that cannot be read is skipped, so that the others are restored.
            async for records in stretch(reader, tp, start, ends[tp], pass_over):
                for record in records:
                    await self._take(record)
                self._on_progress(done + records[-1].offset - start, total)
            done += ends[tp] - start
            self._on_progress(done, total)
        return {"read": self._read, "restored": self._restored}

    async def _take(self, record: Any) -> None:
        if record.value is None:  # a tombstone of `lpstream erase`: forget the results of this key
            await self._results.forget(record.key or b"")
            return
        try:
            result = decode_model(Result, record.value or b"")
        except DecodeError as error:
            log.warning("%s[%d]@%d is not a result: %s", RESULTS, record.partition, record.offset, error.field)
            return
        self._read += 1
        left_s = round(RESULT_S - (time.time() - record.timestamp / 1000))
        if left_s > 0 and await self._results.keep(result.request_id, record.value, left_s) is None:
            self._restored += 1
            metrics.RESTORED.inc()
        if result.cost_micro_jpy and str(result.request_id) not in self._counted:
            self._counted.add(str(result.request_id))
            periods = self._ledger.periods(datetime.fromtimestamp(record.timestamp / 1000, UTC))
            for scope, period in zip(("day", "month"), periods, strict=True):
                self._costs[scope][result.tenant_id, period] += result.cost_micro_jpy

    async def refill(self) -> None:
        """Add the costs to the ledger."""
        for (tenant_id, period), amount in self._costs["day"].items():
            await self._ledger.refill("day", tenant_id, period, amount)
        for (tenant_id, period), amount in self._costs["month"].items():
            await self._ledger.refill("month", tenant_id, period, amount)
