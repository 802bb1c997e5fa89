"""The metadata GETs of the REST proxy's v2 API, for the topics that the caller may produce to."""

from typing import Any

import msgspec
from aiohttp import web

from infra.kafka import metadata
from infra.tenants import Caller
from streams.edge.beacons.sender import NO_PARTITION
from streams.edge.http.errors import HttpError, needing
from streams.edge.rest.produce import check_accept, media_type, no_topic, topics_of
from streams.edge.services import Services


async def root(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return an empty object, as the REST proxy does."""
    return _json(request, {})


async def brokers(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return the ids of the brokers."""
    with needing("The broker"):
        return _json(request, {"brokers": await metadata.brokers(_bootstrap(services))})


async def topics(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return the existing topics that accept records."""
    with needing("The broker"):
        return _json(request, await metadata.existing(_bootstrap(services), topics_of("private", services.settings)))


async def topic(request: web.BaseRequest, services: Services, *, caller: Caller | None, topic: str) -> web.Response:
    """Return a topic with its settings and partitions."""
    described = await _partitions(services, topic)
    configs = await metadata.configs(_bootstrap(services), topic)
    return _json(request, {"name": topic, "configs": configs, "partitions": described})


async def partitions(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, topic: str
) -> web.Response:
    """Return a topic's partitions."""
    return _json(request, await _partitions(services, topic))


async def partition(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, topic: str, partition: str
) -> web.Response:
    """Return one partition."""
    return _json(request, await _partition(services, topic, partition))


async def offsets(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, topic: str, partition: str
) -> web.Response:
    """Return the first and the next offset of a partition."""
    described = await _partition(services, topic, partition)
    with needing("The broker"):
        begin, end = await metadata.offsets(_bootstrap(services), topic, described["partition"])
    return _json(request, {"beginning_offset": begin, "end_offset": end})


async def _partitions(services: Services, topic: str) -> list[dict[str, Any]]:
    if topic not in topics_of("private", services.settings):
        raise no_topic()
    with needing("The broker"):
        described = await metadata.partitions(_bootstrap(services), topic)
    if not described:
        raise no_topic()
    return described


async def _partition(services: Services, topic: str, number: str) -> dict[str, Any]:
    for described in await _partitions(services, topic):
        if str(described["partition"]) == number:
            return described
    raise HttpError(404, "Partition not found.", NO_PARTITION)


def _bootstrap(services: Services) -> str:
    return services.settings.kafka_bootstrap_servers


def _json(request: web.BaseRequest, value: object) -> web.Response:
    check_accept(request)
    return web.Response(body=msgspec.json.encode(value), headers={"Content-Type": media_type(request)})
