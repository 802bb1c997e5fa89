"""A reference for the edge: an aiohttp handler that awaits aiokafka's `send_and_wait`.

It parses the body for the record's key, and has no admission, no check of a beacon, no limit on waiting records and no
deadline for a record. Run `python -m streams.proof.bench.peers.edge_aiohttp` with the settings of an edge.
"""

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer
from msgspec import json

from infra.kafka.coalescing import BATCH_BYTES
from infra.kafka.producer import build_producer
from schemas.heatmap import TOPIC
from streams.edge.beacons.sender import BEACONS_GATHER_S
from streams.proof.edge_load import PATH
from streams.runtime.settings import Settings, load_settings

PRODUCER = web.AppKey("producer", AIOKafkaProducer)


async def post(request: web.Request) -> web.Response:
    """Send the beacon to Kafka with its pageview's id as key. Answer 204 when the broker has it."""
    body = await request.read()
    key = json.decode(body)["pageview_id"].encode()
    await request.app[PRODUCER].send_and_wait(TOPIC, body, key=key)
    return web.Response(status=204)


async def ready(_: web.Request) -> web.Response:
    """Answer the probe of the benchmark."""
    return web.Response(text="ready")


async def build(settings: Settings) -> web.Application:
    """Return the application with a started producer."""
    app = web.Application()
    app[PRODUCER] = build_producer(
        settings.kafka_bootstrap_servers,
        settings.broker,
        linger_ms=round(1_000 * BEACONS_GATHER_S),
        batch_bytes=BATCH_BYTES,
    )
    await app[PRODUCER].start()
    app.add_routes([web.post(PATH, post), web.get("/readyz", ready)])
    return app


if __name__ == "__main__":
    uvloop.install()
    own = load_settings()
    web.run_app(build(own), host="127.0.0.1", port=own.edge_port, access_log=None, print=None)
