"""The sender's limit of records that wait for the broker: separate for each topic."""

from typing import Any

import pytest

from streams.edge.beacons.sender import Record, Sender, Sent
from streams.edge.http.errors import HttpError
from streams.runtime.settings import Settings


class Silent:
    """A fake producer whose broker answers only when the test calls the callbacks."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def known_partitions(self, topic: str) -> int:
        return 3

    def send(self, topic: str, place: int, key: Any, value: Any, callback: Any, headers: Any) -> None:
        self.waiting.append(callback)


@pytest.fixture
def sender() -> tuple[Sender, Silent]:
    one, silent = Sender(Settings.model_construct(**{**Settings().model_dump(), "edge_max_in_flight": 2})), Silent()
    one._producer = silent  # type: ignore[assignment]
    return one, silent


def test_waiting_beacons_do_not_block_page_requests(sender: tuple[Sender, Silent]) -> None:
    one, silent = sender
    done: list[Sent] = []
    for _ in range(2):
        one.send_one("heatmap.events", Record(b"b", None, None, 0), done.append)
    with pytest.raises(HttpError) as refused:
        one.send_one("heatmap.events", Record(b"b", None, None, 0), done.append)
    assert refused.value.status == 503
    one.send_one("lp.requests", Record(b"r", None, None, 0), done.append)
    assert one.in_flight == 3
    for number, callback in enumerate(silent.waiting):
        callback(number)
    assert (one.in_flight, len(done)) == (0, 3)
    one.send_one("heatmap.events", Record(b"b", None, None, 0), done.append)


async def test_more_records_than_the_limit_get_413(sender: tuple[Sender, Silent]) -> None:
    one, _ = sender
    with pytest.raises(HttpError) as refused:
        await one.send("heatmap.events", [Record(b"b", None, None, 0)] * 3)
    assert refused.value.status == 413
