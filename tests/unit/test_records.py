"""The record transport's acks: commits pass gaps, but never a record in progress."""

import gc

from new_objects import only_new_objects

from streams.transports.records import Acks


class Message:
    def __init__(self, offset: int) -> None:
        self.offset = offset


def some(*offsets: int) -> list[Message]:
    return [Message(offset) for offset in offsets]


def test_a_commit_passes_the_marker_after_offset_zero() -> None:
    acks, messages = Acks(), some(0)
    acks.begin(messages, 2)
    acks.finish(messages[0])
    assert acks.boundary == 2


def test_a_commit_passes_markers_at_the_start_of_the_log() -> None:
    acks = Acks()
    acks.begin([], 4)
    assert acks.boundary == 4


def test_a_gap_after_a_record_in_progress_waits_for_it() -> None:
    acks, messages = Acks(), some(4, 7)
    acks.begin(messages, 8)
    acks.begin([], 11)
    assert acks.boundary is None
    acks.finish(messages[0])
    assert acks.boundary == 7, "the gap between two records"
    acks.finish(messages[1])
    assert acks.boundary == 11


def test_a_finished_record_waits_for_earlier_records() -> None:
    acks, messages = Acks(), some(3, 4, 9)
    acks.begin(messages, 10)
    acks.begin([], 12)
    acks.finish(messages[2])
    acks.finish(messages[1])
    assert acks.boundary is None
    acks.finish(messages[0])
    assert acks.boundary == 12


def test_an_old_message_with_the_same_offset_is_ignored() -> None:
    acks, messages, old = Acks(), some(3), some(3)
    acks.begin(messages, 4)
    acks.finish(old[0])
    assert acks.boundary is None


def test_a_dropped_message_is_not_kept_alive() -> None:
    with only_new_objects():
        acks, messages = Acks(), some(3)
        acks.begin(messages, 4)
        messages.clear()
        gc.collect()
        alive = [one for one in gc.get_objects() if isinstance(one, Message)]
    assert not alive, "Faust would wait for the message for ever"
