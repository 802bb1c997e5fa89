"""Who follows requests: each tenant so many streams, all together so many."""

import contextlib
from uuid import uuid4

import pytest

from streams.edge.http.errors import HttpError
from streams.edge.site.progress import ProgressFeed
from streams.runtime.settings import Settings


def feed(**values: int) -> ProgressFeed:
    return ProgressFeed(Settings.model_construct(**{**Settings().model_dump(), **values}))


def test_a_tenant_has_its_streams_and_no_more() -> None:
    one = feed(edge_tenant_streams=2, edge_max_connections=100)
    with contextlib.ExitStack() as open_:
        for _ in range(2):
            open_.enter_context(one.follow(uuid4(), "acme"))
        with pytest.raises(HttpError) as refused, one.follow(uuid4(), "acme"):
            pass
        assert refused.value.status == 429 and refused.value.retry_after_s >= 1
        with one.follow(uuid4(), "other"):
            pass
    with one.follow(uuid4(), "acme"):
        pass


def test_streams_leave_half_of_the_connections_to_requests() -> None:
    one = feed(edge_tenant_streams=50, edge_max_connections=6)
    with contextlib.ExitStack() as open_:
        for tenant in ("a", "b", "c"):
            open_.enter_context(one.follow(uuid4(), tenant))
        with pytest.raises(HttpError) as refused, one.follow(uuid4(), "d"):
            pass
        assert refused.value.status == 503


def test_a_stream_that_ends_by_an_error_gives_its_place_back() -> None:
    one = feed(edge_tenant_streams=1)
    for _ in range(3):
        with contextlib.suppress(ConnectionResetError), one.follow(uuid4(), "acme"):
            raise ConnectionResetError
