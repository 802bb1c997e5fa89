"""Requests from a transactional producer.

Committed requests are answered once, aborted requests never.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from page_requests import least
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.admin import committed, partitions_of
from infra.kafka.consumer import build_consumer
from schemas.generation import REQUESTS, RESULTS, GenerationRequest, encode_model
from streams.local.installation import Installation
from streams.proof.orders import Answer, Orders, orders

pytestmark = pytest.mark.stack
GROUP, TRANSACTIONS = "lpstream-generation", 20


@pytest.fixture(autouse=True)
def apache(stack: Stack) -> None:
    if stack.addresses.broker_kind != "apache":
        pytest.skip("transactions need Apache Kafka")


def request() -> GenerationRequest:
    return least(request_id=str(uuid4()), tenant_id="demo")


@asynccontextmanager
async def transactional(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"test-{uuid4()}") as producer:
        yield producer


async def transact(producer: AIOKafkaProducer, sent_requests: Orders, partition: int, *, aborted: bool) -> str:
    """Send a request in its own transaction; return its id."""
    one = request()
    sent_requests.answers[str(one.request_id)] = Answer(1)
    await producer.begin_transaction()
    await producer.send_and_wait(REQUESTS, encode_model(one), key=str(one.request_id).encode(), partition=partition)
    await (producer.abort_transaction() if aborted else producer.commit_transaction())
    return str(one.request_id)


async def ends(kafka: str, topic: str) -> dict[TopicPartition, int]:
    places, consumer = await partitions_of(kafka, topic), build_consumer(kafka)
    await consumer.start()
    try:
        return dict(await consumer.end_offsets(places))
    finally:
        await consumer.stop()


async def empty_partition(kafka: str) -> int:
    """Return the partition with the fewest records; an empty partition if there is one."""
    return min((end, tp.partition) for tp, end in (await ends(kafka, REQUESTS)).items())[1]


async def committed_to_the_end(kafka: str) -> bool:
    expected = {tp: end for tp, end in (await ends(kafka, REQUESTS)).items() if end}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = await committed(kafka, GROUP)
        if all(tp in found and found[tp].offset == end for tp, end in expected.items()):
            return True
        await asyncio.sleep(0.3)
    return False


def restart(installation: Installation) -> None:
    installation.children["generation"].stop()
    installation.launch("generation")


async def test_committed_requests_are_answered_once(stack: Stack, installation: Installation) -> None:
    kafka = stack.addresses.kafka
    partition = await empty_partition(kafka)
    async with orders(kafka, "apache") as sent_requests, transactional(kafka) as producer:
        ids = [
            await transact(producer, sent_requests, partition, aborted=number % 4 == 3)
            for number in range(TRANSACTIONS)
        ]
        aborted = [one for number, one in enumerate(ids) if number % 4 == 3]
        for one in aborted:
            del sent_requests.answers[one]
        assert len(await sent_requests.wait(60)) == TRANSACTIONS - len(aborted) == 15
        assert await committed_to_the_end(kafka), "the commit must pass markers and aborted requests"

        before = await ends(kafka, RESULTS)
        await asyncio.to_thread(restart, installation)
        aborted_answers = {one: sent_requests.answers.setdefault(one, Answer(1)) for one in aborted}
        ids.append(await transact(producer, sent_requests, partition, aborted=False))
        while ids[-1] in sent_requests.open:
            await asyncio.sleep(0.1)
        assert sum((await ends(kafka, RESULTS)).values()) == sum(before.values()) + 1, "no request was processed again"
        assert not any(answer.values for answer in aborted_answers.values())
        assert {len(sent_requests.answers[one].values) for one in ids if one not in aborted} == {1}
        assert await committed_to_the_end(kafka)


async def test_an_open_transaction_blocks_only_its_partition(stack: Stack, installation: Installation) -> None:
    kafka = stack.addresses.kafka
    async with orders(kafka, "apache") as sent_requests, transactional(kafka) as slow:
        held = request()
        await slow.begin_transaction()
        await slow.send_and_wait(REQUESTS, encode_model(held), partition=2)
        other = request()
        await sent_requests.ask(other.model_dump(mode="json"), partition=3)
        await sent_requests.wait(60)
        sent_requests.answers[str(held.request_id)] = Answer(1)
        await asyncio.sleep(1)
        assert sent_requests.open == [str(held.request_id)]
        await slow.commit_transaction()
        await sent_requests.wait(60)
        assert await committed_to_the_end(kafka)
