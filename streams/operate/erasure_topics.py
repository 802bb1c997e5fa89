"""The records of erased pages on the compacted topics, and the empty records that delete them."""

import asyncio
import contextlib
from collections.abc import Iterable
from uuid import UUID

import msgspec
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.kafka.producer import build_producer
from infra.kafka.whole import read_whole
from processors.experiments.known import KINDS
from schemas.errors import Retryable
from schemas.experiments import EXPERIMENTS
from schemas.generation import RESULTS
from schemas.tiers import Erasure
from streams.experiments.topic import read_topic
from streams.runtime.settings import Settings

AT_ONCE = 16


class _Answered(msgspec.Struct):
    """The fields of a result that say whose it is."""

    tenant_id: str = ""
    lp_id: str | None = None


async def results_of(settings: Settings, erasure: Erasure, tenant_id: str) -> dict[UUID, str]:
    """Return the page ids ("" for none) of the results on the topic, by request id.

    The results are those of the erased pages and of the tenant, also those of decided experiments, which no page and no
    key in Redis names.
    """
    found: dict[UUID, str] = {}

    def take(record: ConsumerRecord) -> None:
        with contextlib.suppress(ValueError, AttributeError):  # a record of another program
            request_id = UUID(record.key.decode())
            found.pop(request_id, None)
            result = msgspec.json.decode(record.value or b"{}", type=_Answered)
            lp_id = result.lp_id or ""
            if erasure.covers(lp_id) or (tenant_id and result.tenant_id == tenant_id):
                found[request_id] = lp_id

    async with read_whole(settings.kafka_bootstrap_servers, RESULTS, take):
        return found


async def tested_of(settings: Settings, erasure: Erasure) -> set[str]:
    """Return the erased pages that have records on the topic of experiments."""
    async with read_topic(settings.kafka_bootstrap_servers) as topic:
        pages = {lp_id for name, _ in KINDS.values() for lp_id in getattr(topic.known, name)}
    return {lp_id for lp_id in pages if erasure.covers(lp_id)}


async def bury_results(settings: Settings, request_ids: Iterable[UUID]) -> None:
    """Append an empty record for each result, so that compaction deletes it."""
    await _bury(settings, RESULTS, [str(request_id) for request_id in request_ids])


async def bury_experiments(settings: Settings, lp_ids: Iterable[str]) -> None:
    """Append empty records for the experiments and autopilots of the pages.

    States go last: an optimizer that has read one's empty record has read the others, too, and writes no new state.
    """
    names = sorted(lp_ids)
    await _bury(settings, EXPERIMENTS, *([kind + lp_id for lp_id in names] for kind in reversed(KINDS)))


async def _bury(settings: Settings, topic: str, *groups: list[str]) -> None:
    """Append an empty record for each key, those of a group after those of the groups before it."""
    producer = build_producer(settings.kafka_bootstrap_servers, settings.broker)
    try:
        await producer.start()
        for names in groups:
            for at in range(0, len(names), AT_ONCE):
                keys = [name.encode() for name in names[at : at + AT_ONCE]]
                await asyncio.gather(*(producer.send_and_wait(topic, None, key=key) for key in keys))
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}; run this again") from error
    finally:
        await producer.stop()
