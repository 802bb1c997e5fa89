"""Progress streams: limits for each tenant and for all tenants together."""

import contextlib
from uuid import uuid4

import pytest

from streams.edge.http.errors import HttpError
from streams.edge.site.progress import ProgressFeed
from streams.runtime.settings import Settings


def feed(**values: int) -> ProgressFeed:
    return ProgressFeed(Settings.model_construct(**{**Settings().model_dump(), **values}))


def test_a_tenant_cannot_exceed_its_streams() -> None:
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


def test_streams_use_at_most_half_of_the_connections() -> None:
    one = feed(edge_tenant_streams=50, edge_max_connections=6)
    with contextlib.ExitStack() as open_:
        for tenant in ("a", "b", "c"):
            open_.enter_context(one.follow(uuid4(), tenant))
        with pytest.raises(HttpError) as refused, one.follow(uuid4(), "d"):
            pass
        assert refused.value.status == 503


def test_a_failed_stream_releases_its_place() -> None:
    one = feed(edge_tenant_streams=1)
    for _ in range(3):
        with contextlib.suppress(ConnectionResetError), one.follow(uuid4(), "acme"):
            raise ConnectionResetError
