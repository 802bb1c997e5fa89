"""The record transport's acks: commits pass holes, and never a record that is at work."""

import gc

from streams.transports.records import Acks


class Message:
    def __init__(self, offset: int) -> None:
        self.offset = offset


def some(*offsets: int) -> list[Message]:
    return [Message(offset) for offset in offsets]


def test_a_commit_passes_the_marker_behind_offset_zero() -> None:
    acks, messages = Acks(), some(0)
    acks.begin(messages, 2)
    acks.finish(messages[0])
    assert acks.boundary == 2


def test_markers_alone_are_passed_at_the_logs_beginning() -> None:
    acks = Acks()
    acks.begin([], 4)
    assert acks.boundary == 4


def test_a_hole_behind_a_record_at_work_waits_for_it() -> None:
    acks, messages = Acks(), some(4, 7)
    acks.begin(messages, 8)
    acks.begin([], 11)
    assert acks.boundary is None
    acks.finish(messages[0])
    assert acks.boundary == 7, "the hole between two records"
    acks.finish(messages[1])
    assert acks.boundary == 11


def test_a_record_that_is_done_waits_for_those_before_it() -> None:
    acks, messages = Acks(), some(3, 4, 9)
    acks.begin(messages, 10)
    acks.begin([], 12)
    acks.finish(messages[2])
    acks.finish(messages[1])
    assert acks.boundary is None
    acks.finish(messages[0])
    assert acks.boundary == 12


def test_an_old_message_of_the_same_offset_finishes_nothing() -> None:
    acks, messages, old = Acks(), some(3), some(3)
    acks.begin(messages, 4)
    acks.finish(old[0])
    assert acks.boundary is None


def test_a_message_that_was_dropped_is_not_kept_alive() -> None:
    acks, messages = Acks(), some(3)
    acks.begin(messages, 4)
    messages.clear()
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Message)], "Faust would wait for it for ever"
