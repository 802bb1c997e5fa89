"""A reference for the edge: httptools and our producer, without checks. Its rate is an upper bound.

Partitions take turns, so that no key is hashed. `library` installs httptools below a folder, because lpstream does not
depend on it. Run `python -m streams.proof.bench.peers.edge_httptools` with the settings of an edge.
"""

import asyncio
import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

from infra.kafka.coalescing import BATCH_BYTES, CoalescingProducer, Outcome
from infra.kafka.producer import build_producer
from schemas.heatmap import TOPIC
from streams.edge.beacons.sender import BEACONS_GATHER_S
from streams.proof.bench.peers import run
from streams.runtime.settings import Settings, load_settings

VERSION = "0.9.0"
INSTALL_S = 300.0
BACKLOG = 4_096
ACCEPTED, READY, FAILED = (
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
)


def library(cache: Path) -> Path:
    """Install httptools below `cache` unless it is there; return its folder."""
    home = cache / f"httptools-{VERSION}"
    if not home.exists():
        part = home.with_suffix(".part")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(part)]
        run([*pip, f"httptools=={VERSION}"], INSTALL_S)
        part.rename(home)
    return home


class Connection(asyncio.Protocol):
    """A keep-alive connection, with one request at a time."""

    def __init__(self, new_parser: Any, producer: CoalescingProducer, turn: Any) -> None:
        self._parser = new_parser(self)
        self._producer = producer
        self._turn = turn
        self._body = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Send the body to Kafka. Answer when the broker has it."""
        body, self._body = self._body, b""
        if body:
            self._producer.send(TOPIC, next(self._turn), None, body, self._done)
        else:
            self._transport.write(READY)

    def _done(self, outcome: Outcome) -> None:
        self._transport.write(ACCEPTED if isinstance(outcome, int) else FAILED)


async def serve(settings: Settings) -> None:
    """Serve until the process is killed."""
    from httptools import HttpRequestParser  # type: ignore[import-not-found]

    def build() -> Any:
        return build_producer(settings.kafka_bootstrap_servers, settings.broker, linger_ms=0, batch_bytes=BATCH_BYTES)

    producer = CoalescingProducer(build, settings.produce_timeout_s, {TOPIC: BEACONS_GATHER_S})
    await producer.start()
    turn = itertools.cycle(range(await producer.partitions(TOPIC)))
    connect = partial(Connection, HttpRequestParser, producer, turn)
    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", settings.edge_port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(load_settings()))
