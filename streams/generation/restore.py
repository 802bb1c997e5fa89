"""Restore results from `lp.results` into Redis, and their costs into the ledger.

Redis is a view of the topic. After an outage of Redis, a generation worker restores the results that were published
meanwhile. If Redis is empty, the worker restores all of them, and then the costs.

Costs wait until the workers have written the calls that they remember (`Ledger.confirm`). So the ledger knows which
calls it has, and no call counts twice.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import pass_over
from infra.redis.budget import CONFIRM_S, Cost
from infra.redis.results import RESULT_S
from schemas.errors import DecodeError, LpstreamError, Retryable
from schemas.generation import RESULTS, Result, decode_model
from streams.generation.services import GenerationServices
from streams.runtime import metrics

log = logging.getLogger(__name__)

POLL_S, MARGIN_S = 2.0, 60.0
# by then each worker that can reach Redis has confirmed its calls from before the loss
REFILL_AFTER_S = CONFIRM_S + POLL_S


async def keep_restored(services: GenerationServices) -> None:
    """Restore results whenever Redis has lost some, until cancelled."""
    outages_s: list[float] = []
    services.line.on_return = outages_s.append
    while True:
        await asyncio.sleep(POLL_S)
        known = len(outages_s)
        try:
            if not await services.results.present():
                await _restore_all(services)
            elif outages_s:
                await _restore_results(services, time.time() - max(outages_s) - MARGIN_S)
        except LpstreamError as error:
            log.warning("results are not restored yet, trying again: %s", error)
        else:
            del outages_s[:known]


async def _restore_all(services: GenerationServices) -> None:
    since_s = time.time() - RESULT_S
    await services.results.mark_restoring()
    await _restore_results(services, since_s)
    await asyncio.sleep(REFILL_AFTER_S)
    await _restore_costs(services, since_s)
    await services.results.mark_present()


async def _restore_results(services: GenerationServices, since_s: float) -> None:
    read = restored = 0

    async def take(records: list[ConsumerRecord]) -> None:
        nonlocal read, restored
        for record in records:
            read += 1
            restored += await _restore_result(services, record)

    await _read(services, since_s, take)
    metrics.RESTORED.inc(restored)
    log.info("read %d results from %s; Redis lacked %d", read, RESULTS, restored)


async def _restore_result(services: GenerationServices, record: ConsumerRecord) -> bool:
    """Store a result that Redis lacks; return whether it did. A tombstone of `lpstream erase` removes it."""
    if record.value is None:
        await services.results.forget(record.key or b"")
        return False
    left_s = round(RESULT_S - (time.time() - record.timestamp / 1000))
    if left_s <= 0 or (result := _result(record)) is None:
        return False
    return await services.results.keep(result.request_id, record.value, left_s) is None


async def _restore_costs(services: GenerationServices, since_s: float) -> None:
    async def take(records: list[ConsumerRecord]) -> None:
        results = [(record, result) for record in records if (result := _result(record)) is not None]
        await services.ledger.refill(
            [
                Cost(result.tenant_id, str(result.request_id), _time(record), result.cost_micro_jpy)
                for record, result in results
                if result.cost_micro_jpy
            ]
        )

    await _read(services, since_s, take)


async def _read(
    services: GenerationServices, since_s: float, take: Callable[[list[ConsumerRecord]], Awaitable[None]]
) -> None:
    """Pass the topic's records since a time (s UTC) to `take`; raise Retryable without Kafka."""
    servers = services.settings.kafka_bootstrap_servers
    consumer = build_consumer(servers)
    try:
        await consumer.start()
        places = await partitions_of(servers, RESULTS)
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        starts = await consumer.offsets_for_times(dict.fromkeys(places, max(0, int(since_s * 1000))))
        reader = Reader(consumer)
        for tp, start in starts.items():
            if start is not None:
                # Results have no dead letters. An unreadable batch is skipped, so that the others are restored.
                async for records in stretch(reader, tp, start.offset, ends[tp], pass_over):
                    await take(records)
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
    finally:
        await consumer.stop()


def _result(record: ConsumerRecord) -> Result | None:
    """Return the result of a record, None for a tombstone or a record that is no result."""
    if record.value is None:
        return None
    try:
        return decode_model(Result, record.value)
    except DecodeError as error:
        log.warning("%s[%d]@%d is not a result: %s", RESULTS, record.partition, record.offset, error.field)
        return None


def _time(record: ConsumerRecord) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)
