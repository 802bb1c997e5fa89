"""Acknowledging in order of offset while work finishes in any order.

Faust commits past messages that are still at work when a later one is acknowledged first (faust #606).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class Acknowledged(Protocol):
    """A Faust event: its message's partition and offset, and its ack."""

    message: Any

    def ack(self) -> bool:
        """Acknowledge it."""


@dataclass(slots=True)
class _Entry:
    event: Acknowledged
    waiting: "deque[_Entry]"
    done: bool = False


class OrderedAcks:
    """Per partition, events in the order in which they came; the finished ones at the head are acknowledged."""

    def __init__(self) -> None:
        self._waiting: dict[Any, deque[_Entry]] = {}

    def begin(self, event: Acknowledged) -> _Entry:
        """Note an event; give what comes back to `finish`."""
        waiting = self._waiting.setdefault(event.message.tp, deque())
        entry = _Entry(event, waiting)
        waiting.append(entry)
        return entry

    def finish(self, entry: _Entry) -> int:
        """Note that the work of an event is done; how many events that let be acknowledged."""
        entry.done = True
        waiting = entry.waiting
        if self._waiting.get(entry.event.message.tp) is not waiting:
            return 0  # the partition was given up meanwhile
        acknowledged = 0
        while waiting and waiting[0].done:
            waiting.popleft().event.ack()
            acknowledged += 1
        return acknowledged

    def forget(self, partitions: Iterable[Any]) -> None:
        """Acknowledge nothing more of what came from these; they may come back, and begin anew."""
        for tp in partitions:
            self._waiting.pop(tp, None)
