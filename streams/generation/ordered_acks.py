"""Acknowledgement in order of offset, while work finishes in any order.

If a later message is acknowledged first, Faust commits past messages that are still in progress (faust #606).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class Acknowledged(Protocol):
    """A Faust event: the message with its partition and offset, and the ack."""

    message: Any

    def ack(self) -> bool:
        """Acknowledge the message."""


@dataclass(slots=True)
class _Entry:
    event: Acknowledged
    waiting: "deque[_Entry]"
    done: bool = False


class OrderedAcks:
    """The open events of each partition, in order of arrival.

    Finished events at the head are acknowledged.
    """

    def __init__(self) -> None:
        self._waiting: dict[Any, deque[_Entry]] = {}

    def begin(self, event: Acknowledged) -> _Entry:
        """Add an event and return its entry, which the caller passes to `finish`."""
        waiting = self._waiting.setdefault(event.message.tp, deque())
        entry = _Entry(event, waiting)
        waiting.append(entry)
        return entry

    def finish(self, entry: _Entry) -> int:
        """Mark an event as done and return how many events were acknowledged as a result."""
        entry.done = True
        waiting = entry.waiting
        if self._waiting.get(entry.event.message.tp) is not waiting:
            return 0  # the partition was revoked meanwhile
        acknowledged = 0
        while waiting and waiting[0].done:
            waiting.popleft().event.ack()
            acknowledged += 1
        return acknowledged

    def forget(self, partitions: Iterable[Any]) -> None:
        """Drop the open events of these partitions without acknowledging them.

        A partition may be assigned again later. Then it starts with no open events.
        """
        for tp in partitions:
            self._waiting.pop(tp, None)
