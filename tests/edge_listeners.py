"""Both listeners of an edge over real HTTP, with a sender that keeps records in memory.

No Kafka, no stores.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from aiohttp import web

from infra.redis.experiments import ExperimentStore
from infra.s3.objects import Objects, StoredObject
from infra.schema_registry import OwnSchemas, SchemaRegistry
from infra.tenants import Tenants, TenantsFile, digest_of
from streams.edge.beacons.quick_path import QuickPath
from streams.edge.beacons.sender import Record, Sent
from streams.edge.http.admission import Admission
from streams.edge.http.connections import Gate, Listener, Server
from streams.edge.http.logins import Logins
from streams.edge.server import Edge
from streams.edge.services import Services
from streams.edge.site.experiments import Experiments
from streams.edge.site.object_cache import CachedObject, ObjectCache
from streams.pictures.drawing import DrawingProcess
from streams.pictures.uploads import UploadStore
from streams.proof.bench.edge_without_kafka import Nowhere
from streams.runtime.settings import Settings

TOKEN, ANALYST, RIVAL = "token-of-demo", "analyst-of-demo", "token-of-rival"
JSON, BINARY, AVRO = (f"application/vnd.kafka.{name}.v2+json" for name in ("json", "binary", "avro"))


class MemorySender(Nowhere):
    """A sender that accepts every record and keeps it in memory."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.sent: list[tuple[str, Record]] = []
        self.ready = True

    def send_one(self, topic: str, record: Record, done: Callable[[Sent], None]) -> None:
        self.sent.append((topic, record))
        super().send_one(topic, record, done)

    async def send(self, topic: str, records: list[Record]) -> list[Sent]:
        self.sent += [(topic, record) for record in records]
        return await super().send(topic, records)


@dataclass
class RunningEdge:
    """The addresses of both listeners, and the records that the edge has sent."""

    public: str
    private: str
    sender: MemorySender
    services: Any = field(repr=False)
    session: aiohttp.ClientSession = field(repr=False)
    process: DrawingProcess = field(repr=False)

    async def post(self, path: str, body: bytes, kind: str = JSON, *, private: bool = False) -> tuple[int, Any]:
        """Post a body; return the status and the JSON body of the answer."""
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {TOKEN}"} if private else {})
        url = (self.private if private else self.public) + path
        async with self.session.post(url, data=body, headers=headers) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    @property
    def records(self) -> list[Record]:
        return [record for _, record in self.sender.sent]


@contextlib.asynccontextmanager
async def running_edge(
    schemas: SchemaRegistry | None = None, objects: Objects | None = None, **values: Any
) -> AsyncIterator[RunningEdge]:
    """Run an edge with these settings while the block runs, and with the object store if it is given."""
    settings = Settings.model_construct(**{**Settings().model_dump(), **values})
    tenants = a_tenant()
    sender, admission = MemorySender(settings), Admission(settings, tenants)
    own, process = OwnSchemas(), DrawingProcess()
    services = SimpleNamespace(
        settings=settings, tenants=tenants, admission=admission, sender=sender, schemas=schemas or own,
        own_schemas=own, results=NoResults(), ending=False, logins=Logins(settings.edge_wrong_logins),
        objects=objects, uploads=UploadStore(objects, process) if objects else None,
        shelf=ObjectCache(objects) if objects else Shelf(),
        experiments=Experiments(cast(ExperimentStore, NoExperiments()), settings),
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
        yield RunningEdge(*urls, sender, services, session, process)
    process.close()
    for runner in runners:
        await runner.cleanup()


class Shelf:
    """A store of pages: each id that begins with `demo-` has a page that names it."""

    async def get(self, key: str) -> CachedObject | None:
        lp_id = key.split("/")[1]
        if not lp_id.startswith("demo-"):
            return None
        body = f"<html><head></head><body>{lp_id}</body></html>".encode()
        return CachedObject(StoredObject(body, "text/html; charset=utf-8", f'"{lp_id}"'), 0.0)


class NoExperiments:
    """A view of experiments that has none. It knows the commands that were sent."""

    def __init__(self) -> None:
        self.commands: dict[str, bytes] = {}

    async def note(self, key: str, command: bytes) -> None:
        self.commands[key] = command

    async def sent(self, key: str) -> bytes | None:
        return self.commands.get(key)

    async def get(self, _: str) -> bytes | None:
        return None

    async def weights(self, _: str) -> bytes | None:
        return None

    async def pilot(self, _: str) -> bytes | None:
        return None

    async def waiting(self) -> set[str]:
        return set()


class NoResults:
    """A result store that stores nothing."""

    async def put_queued(self, *_: object) -> None:
        """Store nothing."""

    async def forget_rejections(self, _: object) -> None:
        """Remove nothing."""


def a_tenant() -> Tenants:
    """Return a tenant that owns every page, with an operator and an analyst token, and a rival."""
    tokens = [{"sha256": digest_of(token), "role": role} for token, role in ((TOKEN, "operator"), (ANALYST, "analyst"))]
    tenant = {"id": "demo", "lp_ids": ["*"], "token": tokens}
    rival = {"id": "rival", "token": [{"sha256": digest_of(RIVAL), "role": "application"}]}
    return Tenants(TenantsFile.model_validate({"tenant": [tenant, rival]}).tenant)
