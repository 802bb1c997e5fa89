"""A client that puts generation requests on their topic and collects the results.

Load tests, benchmarks and guarantee tests use it.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.kafka.producer import build_producer
from schemas.errors import LpstreamError
from schemas.generation import REQUESTS
from streams.proof.beside import must_run
from streams.proof.results import new_results


@dataclass(slots=True)
class Answer:
    """A request and its results on the topic. Times are the records' timestamps in ms.

    `asked_ms` is the request's time, `told_ms` the first result's, None until then.
    """

    asked_ms: int
    told_ms: int | None = None
    values: list[bytes] = field(default_factory=list)

    @property
    def result(self) -> dict[str, Any]:
        """The first result."""
        result: dict[str, Any] = json.loads(self.values[0])
        return result

    @property
    def total_ms(self) -> int:
        """The time from the request's record to the result's."""
        if self.told_ms is None:
            raise LpstreamError("the request has no result yet; call wait() first")
        return self.told_ms - self.asked_ms

    @property
    def own_ms(self) -> int:
        """The total time minus the time with an open model call."""
        return self.total_ms - (self.result["timings_ms"]["provider"] or 0)


class Orders:
    """The client that `orders` opens. `answers` are by request id, in the order of the requests."""

    def __init__(self, producer: AIOKafkaProducer, answers: dict[str, Answer], reading: asyncio.Task[None]) -> None:
        self._producer = producer
        self._reading = reading
        self.answers = answers

    async def ask(self, request: dict[str, Any], partition: int | None = None, asked_ms: int | None = None) -> str:
        """Put a request on the topic. Return its id once the broker has acknowledged it.

        By default the key decides the partition, and the time is now.
        """
        request_id = str(request["request_id"])
        answer = self.answers.setdefault(request_id, Answer(0))
        value = json.dumps(request, ensure_ascii=False).encode()
        done = await self._producer.send_and_wait(
            REQUESTS, value, key=request_id.encode(), partition=partition, timestamp_ms=asked_ms
        )
        answer.asked_ms = answer.asked_ms or int(done.timestamp)
        return request_id

    async def flow(self, requests: Iterable[dict[str, Any]], per_minute: float) -> None:
        """Send all requests at a fixed pace, without waiting for the results."""
        sending = []
        started = time.monotonic()
        for number, request in enumerate(requests):
            await asyncio.sleep(max(0.0, started + number * 60 / per_minute - time.monotonic()))
            sending.append(asyncio.create_task(self.ask(request)))
        await asyncio.gather(*sending)

    @property
    def open(self) -> list[str]:
        """The ids of requests without a result."""
        return [name for name, answer in self.answers.items() if answer.told_ms is None]

    async def wait(self, within_s: float) -> list[Answer]:
        """Return all answers.

        Raise LpstreamError if results are missing after `within_s`, or if the reader of the results has ended.
        """
        until = time.monotonic() + within_s
        while missing := self.open:
            must_run(self._reading)
            if time.monotonic() > until:
                raise LpstreamError(
                    f"{len(missing)} of {len(self.answers)} requests have no result after {within_s:g} s: "
                    f"{', '.join(missing[:3])} …"
                )
            await asyncio.sleep(0.05)
        return list(self.answers.values())


def _note(answers: Mapping[str, Answer], request_id: str, value: bytes, time_ms: int) -> None:
    answer = answers.get(request_id)
    if answer is not None:
        answer.values.append(value)
        answer.told_ms = answer.told_ms or time_ms


@asynccontextmanager
async def orders(servers: str, broker: str) -> AsyncIterator[Orders]:
    """Open the client while the block runs. Results from before are not read."""
    answers: dict[str, Answer] = {}
    async with (
        build_producer(servers, broker, linger_ms=0) as producer,
        new_results(servers, partial(_note, answers)) as reading,
    ):
        yield Orders(producer, answers, reading)
