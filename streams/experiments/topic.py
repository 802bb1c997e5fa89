"""Reads of `lp.experiments`, outside any group: every reader reads the whole topic."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.kafka.reading import Reader
from infra.kafka.skips import pass_over
from infra.kafka.whole import read_whole
from processors.experiments.known import Known, Taken
from schemas.errors import DecodeError, Retryable
from schemas.experiments import EXPERIMENTS, ExperimentState

log = logging.getLogger(__name__)

CATCH_UP_S, FETCH_S = 20.0, 0.2


class TopicReader:
    """A reader that has read the topic to its end, and goes on from there."""

    def __init__(self, reader: Reader, known: Known) -> None:
        self._reader = reader
        self._taken: list[Taken] = []
        self.known = known

    async def more(self, timeout_s: float) -> list[Taken]:
        """Return the records that have come. Wait up to `timeout_s` seconds for them."""
        if not self._taken:
            await self._fetch(timeout_s)
        taken, self._taken = self._taken, []
        return taken

    async def catch_up(self) -> None:
        """Take the records up to the topic's present end. `more` returns them later.

        Raise Retryable if that takes long.
        """
        consumer, until = self._reader.consumer, time.monotonic() + CATCH_UP_S
        for tp, end in (await consumer.end_offsets(consumer.assignment())).items():
            while await consumer.position(tp) < end:
                if time.monotonic() > until:
                    raise Retryable(f"Kafka: {EXPERIMENTS} was not read to its end in {CATCH_UP_S:g} s")
                await self._fetch(FETCH_S)

    async def _fetch(self, timeout_s: float) -> None:
        for part in (await self._reader.fetch(timeout_s)).values():
            taken = (_take(self.known, record.key, record.value) for record in part.records)
            self._taken += [each for each in taken if each is not None]
        if self._reader.unreadable:
            await pass_over(self._reader)


@asynccontextmanager
async def read_topic(bootstrap: str) -> AsyncIterator[TopicReader]:
    """Read the topic to its end, and yield the reader. Raise Retryable if Kafka does not answer."""
    known = Known()
    async with read_whole(bootstrap, EXPERIMENTS, lambda record: _take(known, record.key, record.value)) as reader:
        yield TopicReader(reader, known)


async def read_states(bootstrap: str) -> list[ExperimentState]:
    """Return the newest state of each page. Raise Retryable or Refused if the topic cannot be read.

    Only the last record of each key is decoded: before compaction the log has many states of a page.
    """
    newest: dict[bytes, bytes] = {}
    async with read_whole(bootstrap, EXPERIMENTS, lambda each: newest.update({each.key or b"": each.value or b""})):
        known = Known()
    for key, value in newest.items():
        _take(known, key, value)
    return list(known.states.values())


def _take(known: Known, key: bytes | None, value: bytes | None) -> Taken | None:
    try:
        return known.take(key, value)
    except DecodeError as error:
        log.warning("%s: the record %r is not used: %s", EXPERIMENTS, key, error)
        return None
