"""The edge: aiohttp's low-level server on uvloop, a public and a private listener, routes by hand."""

import asyncio
import contextlib
import gc
import logging
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from infra.tenants import Caller, Tenants
from streams.edge import routes
from streams.edge.beacons.quick_path import QuickPath
from streams.edge.beacons.sender import Sender
from streams.edge.http.accepting import Site, listening
from streams.edge.http.connections import Connection, Gate, Listener, Server, sweep
from streams.edge.http.errors import SERVER_NAME, HttpError, cors_headers, error_response
from streams.edge.rest import metadata
from streams.edge.services import Services, open_services
from streams.edge.site import maps, pages
from streams.edge.studio import maps as studio_maps
from streams.edge.studio import pages as studio_pages
from streams.edge.studio.auth import ASKS, LOOKS, studio
from streams.edge.studio.files import static
from streams.runtime import metrics
from streams.runtime.gc_tuning import tune_collector
from streams.runtime.logs import begin_request
from streams.runtime.settings import Settings
from streams.runtime.systemd import handed_over, tell_ready

log = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[web.StreamResponse]]
DRAIN_LOOK_S = 0.1
PREFLIGHT_S = 7_200
OPEN_PATHS = {"/healthz", "/readyz"}
STREAM = "/events"
STUDIO_PATH = "/studio"
# A path that every program reads in the same way: caches and proxies before the edge know an answer by its path. No
# empty, `.` or `..` segment, nothing encoded. A proxy may give the whole address (RFC 9112, 3.2.2).
TARGET = re.compile(r"(?:https?://[^/?#]+)?(/|(?:/(?!\.\.?(?:[/?]|$))[A-Za-z0-9._-]+)+)(?:\?[^#]*)?")
PARTS = {"lp_id": r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}?", "suffix": "[a-z]{1,8}", "digest": "[0-9a-f]{1,96}"}
ANY_PART = "[A-Za-z0-9._-]{1,255}?"


@dataclass(frozen=True, slots=True)
class Route:
    """One route: its template is the label of its metrics."""

    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler
    roles: frozenset[str] = frozenset()

    @property
    def counted(self) -> bool:
        """Whether it is a request in hand: a probe waits for none, and a stream lasts (ProgressFeed bounds those)."""
        return self.template not in OPEN_PATHS and not self.template.endswith(STREAM)


def route(method: str, template: str, handler: Handler, *roles: str) -> Route:
    """A route whose `{name}` parts match what may be in an id or a topic's name."""

    def part(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{PARTS.get(found[1], ANY_PART)})"

    pattern = re.sub(r"\{(\w+)\}", part, template.replace(".", r"\."))
    return Route(method, template, re.compile(pattern), handler, frozenset(roles))


STUDIO = [
    route("GET", "/studio", studio(studio_pages.home, open_to_all=True)),
    route("POST", "/studio/session", studio(studio_pages.log_in, open_to_all=True)),
    route("POST", "/studio/session/end", studio(studio_pages.log_out)),
    route("GET", "/studio/new", studio(studio_pages.new, *ASKS)),
    route("POST", "/studio/requests", studio(studio_pages.ask, *ASKS)),
    route("GET", "/studio/requests/{request_id}", studio(studio_pages.progress, *ASKS)),
    route("GET", "/studio/requests/{request_id}/events", studio(studio_pages.events, *ASKS)),
    route("GET", "/studio/requests/{request_id}/state", studio(studio_pages.state, *ASKS)),
    route("GET", "/studio/requests/{request_id}/preview", studio(studio_pages.preview, *ASKS)),
    route("GET", "/studio/maps/{lp_id}", studio(studio_maps.maps, *LOOKS)),
    route("GET", "/studio/pictures/{lp_id}.png", studio(studio_maps.picture, *LOOKS)),
    route("GET", "/studio/static/{name}", static),
    route("GET", "/studio/assets/{name}", pages.asset),
]
PUBLIC = [
    route("POST", "/e/heatmap.events", routes.beacon),
    route("POST", "/topics/{topic}", partial(routes.produce, listener="public")),
    route("POST", "/topics/{topic}/partitions/{partition}", partial(routes.produce, listener="public")),
    route("GET", "/lp/{lp_id}", pages.page),
    route("GET", "/assets/{name}", pages.asset),
    route("GET", "/t.js", routes.snippet),
    route("GET", "/t.js.map", routes.source_map),
    route("GET", "/t.{digest}.js", routes.snippet),
    route("GET", "/healthz", routes.health),
    route("GET", "/readyz", routes.ready),
]
PRIVATE = [
    route("POST", "/topics/{topic}", partial(routes.produce, listener="private"), "application", "operator"),
    route(
        "POST",
        "/topics/{topic}/partitions/{partition}",
        partial(routes.produce, listener="private"),
        "application",
        "operator",
    ),
    route("GET", "/", metadata.root, "application", "operator"),
    route("GET", "/brokers", metadata.brokers, "application", "operator"),
    route("GET", "/topics", metadata.topics, "application", "operator"),
    route("GET", "/topics/{topic}", metadata.topic, "application", "operator"),
    route("GET", "/topics/{topic}/partitions", metadata.partitions, "application", "operator"),
    route("GET", "/topics/{topic}/partitions/{partition}", metadata.partition, "application", "operator"),
    route("GET", "/topics/{topic}/partitions/{partition}/offsets", metadata.offsets, "application", "operator"),
    route("GET", "/heatmaps/{lp_id}.{suffix}", maps.heatmap, "analyst", "operator"),
    route("GET", "/lp/requests/{request_id}", pages.status, "application", "operator"),
    route("GET", "/lp/requests/{request_id}/events", pages.events, "application", "operator"),
    route("GET", "/lp/requests/{request_id}/preview", pages.preview, "application", "operator"),
    route("GET", "/metrics", routes.metrics_page, "metrics", "operator"),
    route("GET", "/healthz", routes.health),
    route("GET", "/readyz", routes.ready),
]


class Edge:
    """Answers the requests of one listener."""

    def __init__(self, listener: Listener, settings: Settings, tenants: Tenants, services: Services) -> None:
        self._listener: Listener = listener
        self._settings = settings
        self._tenants = tenants
        self._services = services
        self._admission = services.admission
        self._routes = PUBLIC if listener == "public" else [*PRIVATE, *STUDIO]
        self._fixed = {(one.method, one.template): one for one in self._routes if "{" not in one.template}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request: origin, rates, route, caller, handler; errors in one shape, CORS headers on all."""
        started = time.perf_counter()
        begin_request(request.headers.get("X-Request-Id"))
        origin = request.headers.get(hdrs.ORIGIN) if self._listener == "public" else None
        template = "none"
        response: web.StreamResponse
        try:
            self._admit(request, origin)
            if request.method == "OPTIONS" and origin is not None:
                template, response = "preflight", _preflight()
            else:
                found, values = self._find(request)
                template = found.template
                caller = self._caller(request, found)
                response = await self._handle(found, request, caller, values)
        except HttpError as error:
            response = error_response(error)
        except Exception:
            log.exception("%s %s failed", request.method, template)
            response = error_response(HttpError(500, "Internal Server Error"))
        self._finish(response, origin, template, started)
        return response

    async def _handle(
        self, found: Route, request: web.BaseRequest, caller: Caller | None, values: dict[str, str]
    ) -> web.StreamResponse:
        if not found.counted:
            return await found.handler(request, self._services, caller=caller, **values)
        self._admission.begin()
        try:
            with self._slow_body(request):
                return await found.handler(request, self._services, caller=caller, **values)
        finally:
            self._admission.end()

    @contextlib.contextmanager
    def _slow_body(self, request: web.BaseRequest) -> Iterator[None]:
        """Count a body that is yet to come, until it has come; visitors alone are bounded, applications have tokens."""
        length = request.content_length
        refused = length is not None and length > self._settings.edge_max_body_bytes  # at once, by its length alone
        if self._listener != "public" or refused or request.content.is_eof():
            yield
            return
        peer = cast(Connection, request.protocol).client
        client = self._admission.forwarded(request.headers, peer)
        body = self._admission.arriving(client, length)
        request.content.on_eof(body.release)
        try:
            yield
        finally:
            body.release()

    def _finish(self, response: web.StreamResponse, origin: str | None, template: str, started: float) -> None:
        if not response.prepared:
            response.headers[hdrs.SERVER] = SERVER_NAME
            if self._admission.draining:
                response.force_close()
        if self._listener == "public" and not response.prepared:
            response.headers[hdrs.VARY] = "Origin"
            response.headers.update(cors_headers(self._tenants, origin, response.status))
        count, seconds = metrics.request(self._listener, template, response.status)
        count.inc()
        seconds.observe(time.perf_counter() - started)

    def _admit(self, request: web.BaseRequest, origin: str | None) -> None:
        if self._listener == "public" and path_of(request.raw_path) not in OPEN_PATHS:
            origin = None if request.method == "OPTIONS" else origin
            self._admission.admit(request.headers, cast(Connection, request.protocol).client, origin)

    def _find(self, request: web.BaseRequest) -> tuple[Route, dict[str, str]]:
        if (path := path_of(request.raw_path)) is None:
            raise HttpError(404, "HTTP 404 Not Found")
        # aiohttp leaves the body of an answer to HEAD out
        method = "GET" if request.method == "HEAD" else request.method
        if (exact := self._fixed.get((method, path))) is not None:
            return exact, {}
        at_path = [(one, found) for one in self._routes if (found := one.pattern.fullmatch(path))]
        if not at_path:
            raise HttpError(404, "HTTP 404 Not Found")
        for one, found in at_path:
            if one.method == method:
                return one, found.groupdict()
        raise HttpError(405, "HTTP 405 Method Not Allowed")

    def _caller(self, request: web.BaseRequest, found: Route) -> Caller | None:
        if self._listener == "public" or found.template in OPEN_PATHS or found.template.startswith(STUDIO_PATH):
            return None  # the studio looks at its cookie itself
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        client = cast(Connection, request.protocol).client
        caller = self._tenants.caller(token.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            if token:
                self._services.logins.check(client)
                self._services.logins.wrong(client, token)
            raise HttpError(401, "Give a token of your tenant: Authorization: Bearer …", 40101)
        if found.roles and caller.role not in found.roles:
            raise HttpError(403, f"This needs a token with role {' or '.join(sorted(found.roles))}", 40301)
        return caller


def path_of(target: str) -> str | None:
    """The path of a request's target as it was sent; None for one that programs read in different ways."""
    found = TARGET.fullmatch(target)
    return found[1] if found else None


def _preflight() -> web.Response:
    """The answer to any origin: it may ask. The request itself is refused, so that its script can read why."""
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
        "Access-Control-Allow-Headers": "content-type, content-encoding, accept",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    return web.Response(status=204, headers=headers)


def own_origins(settings: Settings) -> set[str]:
    """The edge's own origin, its loopback spellings, and those of the settings."""
    parts = urlsplit(settings.page_base_url)
    origins = {f"{parts.scheme}://{parts.netloc}", *settings.allowed_origins}
    if settings.edge_host in ("127.0.0.1", "localhost"):
        origins |= {f"http://{host}:{settings.edge_port}" for host in ("127.0.0.1", "localhost")}
    return origins


async def _listen(server: Server, settings: Settings, port: int, given: socket.socket | None) -> web.ServerRunner:
    runner = web.ServerRunner(server)
    await runner.setup()
    await Site(runner, given or listening(settings.edge_host, port)).start()
    return runner


@dataclass(frozen=True, slots=True)
class Stop:
    """Whether the edge is asked to end, and whether it is to do so without waiting for clients."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)

    def drain(self) -> None:
        """End in its own time; the second time it is urgent."""
        (self.now if self.asked.is_set() else self.asked).set()

    def at_once(self) -> None:
        """End without draining."""
        self.now.set()
        self.asked.set()


async def serve(settings: Settings, stop: Stop, sender: Sender | None = None) -> None:
    """Listen until it is told to stop, then drain, answer what is open and bring out what is on its way.

    `sender` replaces Kafka's.
    """
    handed = handed_over()
    tenants = Tenants.load(settings.tenants_file, own_origins(settings))
    services = await open_services(settings, tenants, sender)
    ports: dict[Listener, int] = {"public": settings.edge_port, "private": settings.api_port}
    own: dict[Listener, Services] = {"public": services, "private": services.for_another_listener()}
    admissions = [one.admission for one in own.values()]
    gates = {name: Gate(name, settings, own[name].admission) for name in ports}
    quick = {"public": QuickPath(settings, tenants, services.admission, services.sender)}
    servers = [Server(Edge(name, settings, tenants, own[name]), gates[name], quick.get(name)) for name in ports]
    runners = [
        await _listen(server, settings, port, given)
        for server, port, given in zip(servers, ports.values(), handed or (None, None), strict=True)
    ]
    sweeping = asyncio.create_task(sweep(list(gates.values()), admissions, lambda: services.sender.in_flight))
    tune_collector()
    gc.callbacks.append(metrics.observe_collection)
    log.info("edge on %s: public %d, private %d", settings.edge_host, settings.edge_port, settings.api_port)
    tell_ready()
    await stop.asked.wait()
    for admission in admissions:
        admission.draining = True
    await _drain(settings.edge_drain_s, stop, list(gates.values()), runners if handed else [])
    for one in own.values():
        one.ending = True
    sweeping.cancel()
    await asyncio.gather(*(runner.cleanup() for runner in runners))
    await services.close()


async def _drain(seconds: float, stop: Stop, gates: list[Gate], replaced: list[web.ServerRunner]) -> None:
    """Answer on, while every connection is closed after its next answer.

    A load balancer that has not seen `/readyz` yet still sends new connections, so the listeners stay open for the
    whole time. Those in `replaced` have a successor on the same socket: they are closed first, and all is over with
    the last connection.
    """
    for site in [site for runner in replaced for site in runner.sites]:
        await site.stop()
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop.now.is_set():
        if replaced and not any(gate.open for gate in gates):
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.now.wait(), DRAIN_LOOK_S)
