"""Both listeners of an edge by real HTTP, with a sender that keeps its records: no Kafka, no store."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from aiohttp import web

from infra.schema_registry import OwnSchemas, SchemaRegistry
from infra.tenants import Tenants, TenantsFile, digest_of
from streams.edge.beacons.quick_path import QuickPath
from streams.edge.beacons.sender import Record, Sender, Sent
from streams.edge.http.admission import Admission
from streams.edge.http.connections import Gate, Listener, Server
from streams.edge.http.logins import Logins
from streams.edge.server import Edge
from streams.edge.services import Services
from streams.runtime.settings import Settings

PARTITIONS = 12
TOKEN = "token-of-demo"
JSON, BINARY, AVRO = (f"application/vnd.kafka.{name}.v2+json" for name in ("json", "binary", "avro"))


class Keeping(Sender):
    """Takes every record, and keeps it."""

    def __init__(self, settings: Settings) -> None:
        self.kept: list[tuple[str, Record]] = []
        self.ready = True
        self._offsets = itertools.count()

    async def partitions(self, topic: str) -> int:
        return PARTITIONS

    def knows(self, topic: str) -> bool:
        return True

    def send_one(self, topic: str, record: Record, done: Callable[[Sent], None]) -> None:
        self.kept.append((topic, record))
        asyncio.get_running_loop().call_soon(done, Sent(0, next(self._offsets)))

    async def send(self, topic: str, records: list[Record]) -> list[Sent]:
        self.kept += [(topic, record) for record in records]
        return [Sent(0, next(self._offsets)) for _ in records]


@dataclass
class Doors:
    """The addresses of both listeners, and what came out behind them."""

    public: str
    private: str
    sender: Keeping
    session: aiohttp.ClientSession = field(repr=False)

    async def post(self, path: str, body: bytes, kind: str = JSON, *, private: bool = False) -> tuple[int, Any]:
        """Status and body of one answer."""
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {TOKEN}"} if private else {})
        url = (self.private if private else self.public) + path
        async with self.session.post(url, data=body, headers=headers) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    @property
    def kept(self) -> list[Record]:
        return [record for _, record in self.sender.kept]


@contextlib.asynccontextmanager
async def doors(schemas: SchemaRegistry | None = None, **values: Any) -> AsyncIterator[Doors]:
    """An edge with settings of its own, for the time of the block."""
    settings = Settings.model_construct(**{**Settings().model_dump(), **values})
    tenants = a_tenant()
    sender, admission = Keeping(settings), Admission(settings, tenants)
    own = OwnSchemas()
    services = SimpleNamespace(
        settings=settings, tenants=tenants, admission=admission, sender=sender, schemas=schemas or own,
        own_schemas=own, results=Forgetful(), ending=False, logins=Logins(settings.edge_wrong_logins),
    )  # fmt: skip
    names: tuple[Listener, ...] = ("public", "private")
    quick = {"public": QuickPath(settings, tenants, admission, sender)}
    runners, urls = [], []
    for name in names:
        edge = Edge(name, settings, tenants, cast(Services, services))
        runner = web.ServerRunner(Server(edge, Gate(name, settings, admission), quick.get(name)))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        runners.append(runner)
    async with aiohttp.ClientSession() as session:
        yield Doors(*urls, sender, session)
    for runner in runners:
        await runner.cleanup()


class Forgetful:
    """Results that nobody asks for."""

    async def put_queued(self, *_: object) -> None:
        """Nothing is kept."""


def a_tenant() -> Tenants:
    """One tenant who owns every page, with a token."""
    tenant = {"id": "demo", "lp_ids": ["*"], "token": [{"sha256": digest_of(TOKEN), "role": "operator"}]}
    return Tenants(TenantsFile.model_validate({"tenant": [tenant]}).tenant)
