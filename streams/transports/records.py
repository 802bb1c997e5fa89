"""The record transport: it hands Faust single records, and its commits pass gaps in the offsets.

Offsets of a partition are not consecutive: transaction markers, aborted transactions and compaction leave gaps.
Faust handles a gap only between two records, and not behind a record at offset 0. Its commits would stop at other
gaps. Here each record has the offset at which reading continues behind it, so commits pass gaps anywhere in the log.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from weakref import ref

from aiokafka.errors import KafkaError
from faust.transport.consumer import notify
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

from infra.kafka.reading import Fetched
from streams.transports.reading import ReadingThread
from streams.transports.slices import NoReadOffsets

log = logging.getLogger(__name__)


class Acks:
    """The acknowledgements of one partition, and the offset up to which it may be committed.

    That is the offset behind the longest acknowledged run from the first message on. References to messages are weak:
    Faust waits for each message that exists, so messages that it has dropped must be freed.
    """

    def __init__(self) -> None:
        self.boundary: int | None = None
        self.expected: int | None = None
        self._open: OrderedDict[int, tuple[ref[Message], int]] = OrderedDict()
        self._done: set[int] = set()

    def begin(self, messages: list[Message], next_offset: int) -> None:
        """Add the messages of one fetch. Reading continues behind them at `next_offset`."""
        self.expected = next_offset
        if messages:
            ends = [*(message.offset for message in messages[1:]), next_offset]
            for message, end in zip(messages, ends, strict=True):
                self._open[message.offset] = (ref(message), end)
        elif self._open:
            last, (message, _) = self._open.popitem()
            self._open[last] = (message, next_offset)
        else:
            self.boundary = next_offset

    def finish(self, message: Message) -> None:
        """Record that a message is acknowledged. Ignore messages of an earlier assignment."""
        offset = message.offset
        held = self._open.get(offset)
        if held is None or held[0]() is not message:
            return
        self._done.add(offset)
        while self._open and next(iter(self._open)) in self._done:
            head, (_, self.boundary) = self._open.popitem(last=False)
            self._done.discard(head)


class RecordThread(ReadingThread):
    """The consumer thread, which returns each fetch with the offsets that it passed."""

    def _answer(self, fetched: dict[TP, Fetched]) -> dict[TP, Any]:
        """Return all parts, including those without records."""
        return dict(fetched)


class Consumer(driver.Consumer):  # type: ignore[misc]  # faust publishes no types
    """A consumer that yields records and commits behind the acknowledged ones.

    `epoch` counts revocations and assignments. Records that were read in an earlier epoch are invalid.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = 0
        self._acks: dict[TP, Acks] = {}
        self._committed: dict[TP, int] = {}
        self._unread: set[TP] = set()
        self._read_offset = NoReadOffsets()

    def _new_consumer_thread(self) -> RecordThread:
        return RecordThread(self, loop=self.loop, beacon=self.beacon)

    # -- reading ---------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Yield one fetch as messages.

        Records that a rebalance makes invalid are read again from the committed offset.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        epoch = self.epoch
        while self._unread and self._current(epoch):
            await self._read_again()
        fetched, _ = await self._wait_next_records(timeout)
        if not fetched or self.should_stop:
            return
        if not self._current(epoch):
            # A fetch may span a rebalance. It has then moved positions of the new assignment.
            self._unread.update(fetched)
            return
        messages = {tp: self._begin(tp, part) for tp, part in fetched.items()}
        for tp, message in self.scheduler.iterate(messages):
            if not self._current(epoch):
                return
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            yield tp, message

    def _begin(self, tp: TP, part: Fetched) -> list[ConsumerMessage]:
        acks = self._acks.setdefault(tp, Acks())
        expected = part.begin if acks.expected is None else acks.expected
        messages = [self._to_message(tp, record) for record in part.records if record.offset >= expected]
        if part.next > expected:
            acks.begin(messages, part.next)
        return messages

    async def _read_again(self) -> None:
        try:
            for tp in self._unread & self.assignment():
                place = driver.ensure_aiokafka_TP(tp)
                committed = await self._thread.call_thread(self._thread._ensure_consumer().committed, place)
                earliest = (await self.earliest_offsets(tp))[tp]
                await self.seek_wait({tp: max(committed or 0, earliest)})
            self._unread.clear()
        except (KafkaError, TimeoutError) as error:
            log.warning("could not seek, again in 0.1 s: %r", error)
            await self.sleep(0.1)

    def _current(self, epoch: int) -> bool:
        return epoch == self.epoch and self.flow_active and not self.should_stop

    # -- acknowledging and committing ------------------------------------------------------------------

    def ack(self, message: Message) -> bool:
        """Mark a message as processed. Return False if it was already marked."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        if (acks := self._acks.get(message.tp)) is not None:
            acks.finish(message)
        notify(self._waiting_for_ack)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: a message has the offset at which reading continues behind it."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._acks) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        acks = self._acks.get(tp)
        return None if acks is None else acks.boundary

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return self._committed.get(tp) != offset

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        epoch = self.epoch
        if not await self._thread.commit(offsets):
            return False
        if epoch == self.epoch:
            self._committed.update(offsets)
        return True

    # -- the group -------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self.epoch += 1
        self._acks.clear()
        self._committed.clear()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let Faust finish and commit the messages under way, then forget all partitions."""
        await super().on_partitions_revoked(revoked)
        self._forget()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin a new epoch with the assigned partitions."""
        self._forget()
        await super().on_partitions_assigned(assigned, generation_id)


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer."""

    Consumer = Consumer
