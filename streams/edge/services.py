"""The services that the edge's routes use, opened once per process."""

import logging
from dataclasses import dataclass, replace

from aiokafka.errors import KafkaError

from infra.clickhouse.client import ClickHouse
from infra.redis.experiments import ExperimentStore
from infra.redis.requested import Asked
from infra.redis.response_cache import ResponseCache
from infra.redis.results import ResultStore
from infra.redis.sessions import Sessions, secret_of
from infra.s3.objects import Objects
from infra.schema_registry import ConfluentRegistry, OwnSchemas, SchemaRegistry
from infra.tenants import Tenants
from infra.writer_schemas import LateSchemas
from streams.edge.beacons.sender import Sender
from streams.edge.http.admission import Admission
from streams.edge.http.logins import Logins
from streams.edge.site.experiments import Experiments
from streams.edge.site.object_cache import ObjectCache
from streams.edge.site.progress import ProgressFeed
from streams.edge.site.sitemap import Sitemaps
from streams.edge.site.snippet import Snippet
from streams.edge.studio.directory import Directories
from streams.edge.studio.listing import Listing
from streams.pictures.cards import Cards
from streams.pictures.drawing import DrawingProcess
from streams.pictures.findings import Findings
from streams.pictures.maps import Heatmaps
from streams.pictures.screenshots import Shots
from streams.pictures.uploads import UploadStore
from streams.runtime.settings import Settings
from streams.runtime.stores import open_analyst, open_line, open_objects

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Services:
    """The clients, caches and files of a process.

    `admission` belongs to one listener, and so does `own_schemas` with a registry; everything else is shared.
    `own_schemas` serves topics whose records are checked, `schemas` the other topics. `ending` is set when the process
    no longer waits for clients.
    """

    settings: Settings
    tenants: Tenants
    admission: Admission
    sender: Sender
    clickhouse: ClickHouse
    heatmaps: Heatmaps
    findings: Findings
    results: ResultStore
    sessions: Sessions
    logins: Logins
    asked: Asked
    objects: Objects
    snippet: Snippet
    progress: ProgressFeed
    schemas: SchemaRegistry
    own_schemas: SchemaRegistry
    cards: Cards
    drawing: tuple[DrawingProcess, DrawingProcess]
    shelf: ObjectCache
    uploads: UploadStore
    directories: Directories
    listing: Listing
    sitemaps: Sitemaps
    experiments: Experiments
    ending: bool = False

    def for_another_listener(self) -> "Services":
        """Return the same services with separate limits: an overload of one listener spares the other."""
        registry = self.schemas
        own_schemas = LateSchemas(registry) if isinstance(registry, ConfluentRegistry) else self.own_schemas
        return replace(self, admission=Admission(self.settings, self.tenants), own_schemas=own_schemas)

    async def close(self) -> None:
        """Send the waiting records, then close all services."""
        await self.progress.stop()
        await self.experiments.stop()
        for process in self.drawing:
            process.close()
        await self.sender.stop()
        await self.schemas.close()
        await self.clickhouse.close()


async def open_services(settings: Settings, tenants: Tenants, sender: Sender | None = None) -> Services:
    """Open all services. `sender` replaces Kafka's.

    Wait for Kafka, which every beacon needs, but for no other store. Raise SystemExit(1) if Kafka cannot be reached.
    """
    sender = sender or Sender(settings)
    await _start(sender, settings.kafka_bootstrap_servers)
    clickhouse, line, objects = open_analyst(settings), open_line(settings), open_objects(settings)
    results = ResultStore(line)
    progress = ProgressFeed(settings)
    progress.start()
    experiments = Experiments(ExperimentStore(line), settings)
    await experiments.start()
    schemas, own_schemas = _schemas(settings)
    drawing, browsing = DrawingProcess(), DrawingProcess()  # screenshots and uploads take seconds
    shots = Shots(objects, line, browsing, settings.chromium)
    answers = ResponseCache(line, "lp:heatmap:")
    directories = Directories(objects)
    return Services(
        settings,
        tenants,
        Admission(settings, tenants),
        sender,
        clickhouse,
        Heatmaps(clickhouse, answers, shots, drawing, settings.timezone),
        Findings(clickhouse, answers, objects, drawing),
        results,
        Sessions(line, secret_of(settings.studio_secret.get_secret_value(), tenants.digests)),
        Logins(settings.edge_wrong_logins),
        Asked(line),
        objects,
        Snippet.load(),
        progress,
        schemas,
        own_schemas,
        Cards(objects, drawing),
        (drawing, browsing),
        ObjectCache(objects),
        UploadStore(objects, browsing),
        directories,
        Listing(clickhouse, directories),
        Sitemaps(objects, tenants, settings.page_base_url),
        experiments,
    )


async def _start(sender: Sender, servers: str) -> None:
    try:
        await sender.start()
    except KafkaError as error:
        log.error("cannot connect to Kafka at %s (LPSTREAM_KAFKA_BOOTSTRAP_SERVERS): %s", servers, error)
        raise SystemExit(1) from error


def _schemas(settings: Settings) -> tuple[SchemaRegistry, SchemaRegistry]:
    if settings.schema_registry_url is None:
        own = OwnSchemas()
        return own, own
    registry = ConfluentRegistry(settings.schema_registry_url)
    return registry, LateSchemas(registry)
