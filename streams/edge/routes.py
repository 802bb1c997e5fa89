"""The table of routes: each with its handler, its roles and its words in the OpenAPI document.

`streams.proof.documents` makes the OpenAPI documents from this table. A summary is the handler's docstring.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from infra.tenants import Role
from streams.edge.beacons.ordinary_path import PATH, post_beacon
from streams.edge.http import probes
from streams.edge.http.connections import Listener
from streams.edge.rest import metadata
from streams.edge.rest.produce import KAFKA_JSON, produce
from streams.edge.site import autopilot_commands, crawlers, experiment_commands, findings, maps, pages, uploads
from streams.edge.studio import experiments as studio_experiments
from streams.edge.studio import home
from streams.edge.studio import maps as studio_maps
from streams.edge.studio import pages as studio_pages
from streams.edge.studio import variants as studio_variants
from streams.edge.studio.auth import ASKS, LOOKS, studio
from streams.edge.studio.files import static

Handler = Callable[..., Awaitable[web.StreamResponse]]
STREAM = "/events"
PARTS = {"lp_id": r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}?", "suffix": "[a-z]{1,8}", "digest": "[0-9a-f]{16}",
         "upload_id": "[0-9a-f]{64}"}  # fmt: skip
ANY_PART = "[A-Za-z0-9._-]{1,255}?"


@dataclass(frozen=True, slots=True)
class Content:
    """The body of a request or response: the name of its schema, and its media types.

    `required`: whether a request must have the body.
    """

    schema: str
    media: tuple[str, ...] = ("application/json",)
    required: bool = True


@dataclass(slots=True)
class Route:
    """A route. Its template is the label of its metrics.

    A `{name}` in the template matches the characters of ids and topic names. The fields from `takes` on are for the
    OpenAPI document only: request and response body, status and description of the response, query parameters.
    """

    method: str
    template: str
    handler: Handler
    roles: tuple[Role, ...] = ()
    pattern: re.Pattern[str] = field(init=False)
    takes: Content | None = None
    gives: Content | None = None
    status: int = 200
    about: str = "Done."
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compile the template."""

        def part(match: re.Match[str]) -> str:
            return f"(?P<{match[1]}>{PARTS.get(match[1], ANY_PART)})"

        pattern = re.sub(r"\{(\w+)\}", part, self.template.replace(".", r"\."))
        # the REST Proxy takes a slash at the end
        self.pattern = re.compile(pattern + "/?" if self.template.startswith(("/topics", "/brokers")) else pattern)

    @property
    def counted(self) -> bool:
        """Return whether requests of this route count against the limit of requests in progress.

        Probes do not, so that they never wait. Streams do not, because they are long; ProgressFeed limits them.
        """
        return self.template not in OPEN_PATHS and not self.template.endswith(STREAM)


def producing(listener: Listener, roles: tuple[Role, ...] = ()) -> list[Route]:
    """Return the routes that take records."""
    templates = ("/topics/{topic}", "/topics/{topic}/partitions/{partition}")
    handler = partial(produce, listener=listener)
    return [Route("POST", each, handler, roles, takes=RECORDS, gives=Content("Offsets")) for each in templates]


RECORDS = Content("Records", (KAFKA_JSON,))
BEACON = Content("Beacon", ("text/plain", "application/json"))
RESULT = Content("Result")
STATE = Content("ExperimentState")
EVENTS = Content("Progress", ("text/event-stream",))
FILE = Content("File", ("image/jpeg", "image/png", "image/webp", "image/gif"))
READS: tuple[Role, ...] = ("application", "analyst", "operator")
PROBES = [Route("GET", "/healthz", probes.health), Route("GET", "/readyz", probes.ready)]
OPEN_PATHS = {probe.template for probe in PROBES}
PUBLIC = [
    Route("POST", PATH, post_beacon, takes=BEACON, status=204, about="Acknowledged by the broker."),
    *producing("public"),
    Route("GET", "/lp/{lp_id}", pages.page),
    Route("GET", "/assets/{name}", pages.asset),
    Route("GET", "/robots.txt", crawlers.robots),
    Route("GET", "/sitemap.xml", crawlers.sitemap),
    Route("GET", "/sitemap-{part}.xml", crawlers.sitemap),
    Route("GET", "/favicon.ico", crawlers.favicon, status=204),
    Route("GET", "/t.js", pages.snippet),
    Route("GET", "/t.js.map", pages.source_map),
    Route("GET", "/t.{digest}.js", pages.snippet),
    *PROBES,
]
PRIVATE = [
    *producing("private", ASKS),
    Route("GET", "/", metadata.root, ASKS),
    Route("GET", "/brokers", metadata.brokers, ASKS),
    Route("GET", "/topics", metadata.topics, ASKS),
    Route("GET", "/topics/{topic}", metadata.topic, ASKS),
    Route("GET", "/topics/{topic}/partitions", metadata.partitions, ASKS),
    Route("GET", "/topics/{topic}/partitions/{partition}", metadata.partition, ASKS),
    Route("GET", "/topics/{topic}/partitions/{partition}/offsets", metadata.offsets, ASKS),
    Route("GET", "/heatmaps/{lp_id}.{suffix}", maps.heatmap, LOOKS, query=maps.PARAMETERS),
    Route(
        "GET",
        "/lp/{lp_id}/findings",
        findings.findings,
        LOOKS,
        gives=Content("PageReport"),
        query=findings.PARAMETERS,
        about="The findings, the heaviest first.",
    ),
    Route(
        "GET", "/lp/requests/{request_id}", pages.status, ASKS, gives=RESULT, about="The result; 202 while it is made."
    ),
    Route(
        "GET",
        "/lp/requests/{request_id}/events",
        pages.events,
        ASKS,
        gives=EVENTS,
        about="Progress, as server-sent events.",
    ),
    Route("GET", "/lp/requests/{request_id}/preview", pages.preview, ASKS),
    Route("POST", "/uploads", uploads.upload, ASKS, takes=FILE, gives=Content("Upload"), about="The upload."),
    Route("GET", "/uploads", uploads.listing, ASKS, gives=Content("UploadIds"), about="The ids."),
    Route("DELETE", "/uploads/{upload_id}", uploads.delete, ASKS, status=204),
    Route(
        "POST",
        "/experiments",
        experiment_commands.start,
        ASKS,
        takes=Content("Design"),
        gives=Content("Accepted"),
        status=202,
        about="The optimizer starts it within seconds.",
    ),
    Route("GET", "/experiments/{lp_id}", experiment_commands.show, READS, gives=STATE),
    Route(
        "POST",
        "/experiments/{lp_id}/stop",
        experiment_commands.stop,
        ASKS,
        takes=Content("StopOrder", required=False),
        gives=Content("Accepted"),
        status=202,
        about="The optimizer stops it within seconds.",
    ),
    Route(
        "POST",
        "/autopilot/{lp_id}",
        autopilot_commands.order,
        ASKS,
        takes=Content("AutopilotOrder"),
        gives=Content("AutopilotAccepted"),
        status=202,
        about="The optimizer carries it out within seconds.",
    ),
    Route("GET", "/autopilot/{lp_id}", autopilot_commands.show, READS, gives=Content("AutopilotState")),
    Route("GET", "/metrics", probes.metrics_page, ("metrics", "operator")),
    *PROBES,
]
# pages and forms for people, not in the OpenAPI document
STUDIO = [
    Route("GET", "/studio", studio(home.home, open_to_all=True)),
    Route("POST", "/studio/session", studio(studio_pages.log_in, open_to_all=True)),
    Route("POST", "/studio/session/end", studio(studio_pages.log_out)),
    Route("GET", "/studio/new", studio(studio_pages.new, *ASKS)),
    Route("POST", "/studio/requests", studio(studio_pages.ask, *ASKS)),
    Route("POST", "/studio/uploads", studio(studio_pages.upload, *ASKS, takes_file=True)),
    Route("GET", "/studio/requests/{request_id}", studio(studio_pages.progress, *ASKS)),
    Route("GET", "/studio/requests/{request_id}/events", studio(studio_pages.events, *ASKS)),
    Route("GET", "/studio/requests/{request_id}/state", studio(studio_pages.state, *ASKS)),
    Route("GET", "/studio/requests/{request_id}/preview", studio(studio_pages.preview, *ASKS)),
    Route("GET", "/studio/maps/{lp_id}", studio(studio_maps.maps, *LOOKS)),
    Route("GET", "/studio/experiments/{lp_id}", studio(studio_experiments.show, *READS)),
    Route("POST", "/studio/experiments/{lp_id}", studio(studio_experiments.start, *ASKS)),
    Route("POST", "/studio/experiments/{lp_id}/stop", studio(studio_experiments.stop, *ASKS)),
    Route("GET", "/studio/variants/{lp_id}", studio(studio_variants.form, *ASKS)),
    Route("POST", "/studio/variants/{lp_id}", studio(studio_variants.ask, *ASKS)),
    Route("GET", "/studio/pictures/{lp_id}.png", studio(studio_maps.picture, *LOOKS)),
    Route("GET", "/studio/static/{name}", static),
    Route("GET", "/studio/assets/{name}", pages.asset),
]
