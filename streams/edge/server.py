"""The edge server: aiohttp's low-level server on uvloop, with two listeners."""

import asyncio
import contextlib
import gc
import logging
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from infra.kafka.admin import wait_for_brokers
from infra.tenants import Caller, Tenants
from streams.edge.beacons.quick_path import QuickPath
from streams.edge.beacons.sender import Sender
from streams.edge.http.accepting import Site
from streams.edge.http.connections import Gate, Listener, Server, peer_of, sweep
from streams.edge.http.errors import HttpError, cors_headers, error_response, standing_headers
from streams.edge.routes import OPEN_PATHS, PRIVATE, PUBLIC, STUDIO, Route
from streams.edge.services import Services, open_services
from streams.edge.studio.auth import PATH as STUDIO_PATH
from streams.runtime import metrics
from streams.runtime.gc_tuning import tune_collector
from streams.runtime.listening import bound, listen
from streams.runtime.logs import begin_request
from streams.runtime.settings import PREFIX, Settings
from streams.runtime.systemd import handed_over, tell_ready

log = logging.getLogger(__name__)

DRAIN_POLL_S = 0.1
PREFLIGHT_S = 7_200
# the routes, in the metrics, of a request that is refused before its route is known, and of OPTIONS
NO_ROUTE, PREFLIGHT = "none", "preflight"
# A path that every program reads in the same way, because caches and proxies in front of the edge store responses by
# path: no empty segment but the last, no `.` or `..`, nothing percent-encoded. A proxy may send the whole URL
# (RFC 9112, 3.2.2).
TARGET = re.compile(r"(?:https?://[^/?#]+)?(/|(?:/(?!\.\.?(?:[/?]|$))[A-Za-z0-9._-]+)+/?)(?:\?[^#]*)?")
# letters, digits, "-", "." and "_" that a client has percent-encoded although it need not (RFC 3986, 6.2.2.2)
ENCODED = re.compile(r"%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff])")
OTHER_API = re.compile(r"/(?:v3|consumers)(?:/|\Z)")


class Edge:
    """The request handler of one listener."""

    def __init__(self, listener: Listener, settings: Settings, tenants: Tenants, services: Services) -> None:
        self._listener: Listener = listener
        self._settings = settings
        self._tenants = tenants
        self._services = services
        self._admission = services.admission
        self._routes = PUBLIC if listener == "public" else [*PRIVATE, *STUDIO]
        address = settings.page_base_url if listener == "public" else settings.api_base_url
        self._standing = standing_headers(address, public=listener == "public")
        self._fixed = {(item.method, item.template): item for item in self._routes if "{" not in item.template}
        metrics.start_failures(listener, {NO_ROUTE, PREFLIGHT, *(item.template for item in self._routes)})

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: check origin, rates, route and caller, then call the handler.

        All errors have the same JSON shape. All public responses have CORS headers.
        """
        started = time.perf_counter()
        begin_request(request.headers.get("X-Request-Id"))
        origin = request.headers.get(hdrs.ORIGIN) if self._listener == "public" else None
        template = NO_ROUTE
        response: web.StreamResponse
        try:
            self._admit(request, origin)
            if request.method == "OPTIONS" and origin is not None:
                template, response = PREFLIGHT, _preflight()
            else:
                matched, values = self._find(request)
                template = matched.template
                caller = self._caller(request, matched)
                response = await self._handle(matched, request, caller, values)
        except HttpError as error:
            response = error_response(error)
        except Exception:
            log.exception("%s %s failed", request.method, template)
            response = error_response(HttpError(500, "Internal Server Error"))
        self._finish(response, origin, template, started)
        return response

    async def _handle(
        self, matched: Route, request: web.BaseRequest, caller: Caller | None, values: dict[str, str]
    ) -> web.StreamResponse:
        if not matched.counted:
            return await matched.handler(request, self._services, caller=caller, **values)
        self._admission.begin()
        try:
            with self._slow_body(request):
                return await matched.handler(request, self._services, caller=caller, **values)
        finally:
            self._admission.end()

    @contextlib.contextmanager
    def _slow_body(self, request: web.BaseRequest) -> Iterator[None]:
        """Count a body until it has arrived. This limits visitors only: applications have tokens."""
        length = request.content_length
        refused = length is not None and length > self._settings.edge_max_body_bytes  # by its length, before it is read
        if self._listener != "public" or refused or request.content.is_eof():
            yield
            return
        client = self._admission.forwarded(request.headers, peer_of(request))
        body = self._admission.arriving(client, length)
        request.content.on_eof(body.release)
        try:
            yield
        finally:
            body.release()

    def _finish(self, response: web.StreamResponse, origin: str | None, template: str, started: float) -> None:
        if not response.prepared:
            response.headers.update(self._standing)
            if self._admission.draining:
                response.force_close()
            if self._listener == "public":
                response.headers.update(cors_headers(self._tenants, origin, response.status))
        count, seconds = metrics.request_metrics(self._listener, template, response.status)
        count.inc()
        seconds.observe(time.perf_counter() - started)

    def _admit(self, request: web.BaseRequest, origin: str | None) -> None:
        if self._listener == "public" and path_of(request.raw_path) not in OPEN_PATHS:
            origin = None if request.method == "OPTIONS" else origin
            self._admission.admit(request.headers, peer_of(request), origin)

    def _find(self, request: web.BaseRequest) -> tuple[Route, dict[str, str]]:
        if (path := path_of(request.raw_path)) is None:
            raise _not_found(request.raw_path)
        # aiohttp omits the body of a response to HEAD
        method = "GET" if request.method == "HEAD" else request.method
        if (exact := self._fixed.get((method, path))) is not None:
            return exact, {}
        at_path = [(item, match) for item in self._routes if (match := item.pattern.fullmatch(path))]
        if not at_path:
            raise _not_found(path)
        for item, match in at_path:
            if item.method == method:
                return item, match.groupdict()
        methods = {item.method for item, _ in at_path}
        allow = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        raise HttpError(405, "HTTP 405 Method Not Allowed", allow=allow)

    def _caller(self, request: web.BaseRequest, matched: Route) -> Caller | None:
        if self._listener == "public" or matched.template in OPEN_PATHS or matched.template.startswith(STUDIO_PATH):
            return None  # the studio checks its own cookie
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        client = peer_of(request)
        caller = self._tenants.caller(token.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            if token:
                self._services.logins.check(client)
                self._services.logins.wrong(client, token)
            raise HttpError(401, "Give a token of your tenant: Authorization: Bearer …", 40101)
        if matched.roles and caller.role not in matched.roles:
            raise HttpError(403, f"This route needs a token with role {' or '.join(sorted(matched.roles))}", 40301)
        return caller


def path_of(target: str) -> str | None:
    """Return the path of a request target as sent, or None if other programs may read another path."""
    # a topic may be encoded: no cache stores a response at its path
    plain = ENCODED.sub(lambda match: chr(int(match[1], 16)), target) if "/topics/" in target else target
    match = TARGET.fullmatch(plain)
    return match[1] if match else None


def _not_found(path: str) -> HttpError:
    """Return the error for a path without a route. The error names the API if another API has the path."""
    message = "HTTP 404 Not Found"
    if OTHER_API.match(path):
        message += ": this server has the producer's part of the REST Proxy API v2: POST /topics/{topic}"
    return HttpError(404, message)


def _preflight() -> web.Response:
    """Return the preflight response, which lets any origin send its request.

    Later the request itself is refused if its origin is not listed. Then its script can read the reason.
    """
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
        "Access-Control-Allow-Headers": "content-type, content-encoding, accept",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    return web.Response(status=204, headers=headers)


def own_origins(settings: Settings) -> set[str]:
    """Return the edge's own origin, its loopback spellings, and the allowed origins of the settings."""
    parts = urlsplit(settings.page_base_url)
    origins = {f"{parts.scheme}://{parts.netloc}", *settings.allowed_origins}
    if settings.edge_host in ("127.0.0.1", "localhost"):
        origins |= {f"http://{host}:{settings.edge_port}" for host in ("127.0.0.1", "localhost")}
    return origins


def listeners(settings: Settings, *, shared: bool = False) -> list[socket.socket]:
    """Return bound sockets for the two listeners. Raise SettingError if a port is in use.

    They do not listen yet: an edge that is not ready must take no connections, because nobody would answer them.
    """
    return [bound(settings.edge_host, port, name, shared=shared) for name, port in _ports(settings)]


def _ports(settings: Settings) -> list[tuple[str, int]]:
    return [(f"{PREFIX}EDGE_PORT", settings.edge_port), (f"{PREFIX}API_PORT", settings.api_port)]


async def _accept(server: Server, listener: socket.socket) -> web.ServerRunner:
    runner = web.ServerRunner(server)
    await runner.setup()
    await Site(runner, listener).start()
    return runner


@dataclass(frozen=True, slots=True)
class Stop:
    """A request to stop: `asked` starts the draining, `now` ends it without waiting for clients."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)

    def drain(self) -> None:
        """Ask the server to drain and stop. A second call ends the draining."""
        (self.now if self.asked.is_set() else self.asked).set()

    def at_once(self) -> None:
        """Stop without draining."""
        self.now.set()
        self.asked.set()


async def serve(settings: Settings, stop: Stop, sender: Sender | None = None, *, shared: bool = False) -> None:
    """Listen until asked to stop, then drain, finish open requests and send waiting records.

    `sender` replaces Kafka's. `shared`: other processes of this edge listen on the same ports.
    """
    handed = handed_over()
    tenants = Tenants.load(settings.tenants_file, own_origins(settings))
    sockets = handed or listeners(settings, shared=shared)
    if sender is None and not await _kafka_answers(settings, stop):
        for listener in sockets:
            listener.close()
        return
    services = await open_services(settings, tenants, sender)
    own: dict[Listener, Services] = {"public": services, "private": services.for_another_listener()}
    admissions = [each.admission for each in own.values()]
    gates = {name: Gate(name, settings, own[name].admission) for name in own}
    quick = {"public": QuickPath(settings, tenants, services.admission, services.sender)}
    servers = [Server(Edge(name, settings, tenants, own[name]), gates[name], quick.get(name)) for name in own]
    if not handed:
        for listener, (setting, port) in zip(sockets, _ports(settings), strict=True):
            listen(listener, settings.edge_host, port, setting)
    runners = [await _accept(server, listener) for server, listener in zip(servers, sockets, strict=True)]
    sweeping = asyncio.create_task(sweep(list(gates.values()), admissions, lambda: services.sender.in_flight))
    tune_collector()
    gc.callbacks.append(metrics.observe_collection)
    log.info("edge on %s: public %d, private %d", settings.edge_host, settings.edge_port, settings.api_port)
    tell_ready()
    await stop.asked.wait()
    for admission in admissions:
        admission.draining = True
    await _drain(settings.edge_drain_s, stop, list(gates.values()), runners if handed else [])
    for each in own.values():
        each.ending = True
    sweeping.cancel()
    await asyncio.gather(*(runner.cleanup() for runner in runners))
    await services.close()


async def _kafka_answers(settings: Settings, stop: Stop) -> bool:
    """Wait until Kafka answers. Return False if the process was asked to stop first."""
    waiting = asyncio.create_task(wait_for_brokers(settings.kafka_bootstrap_servers))
    asked = asyncio.create_task(stop.asked.wait())
    done, _ = await asyncio.wait((waiting, asked), return_when=asyncio.FIRST_COMPLETED)
    for task in (waiting, asked):
        task.cancel()
    return waiting in done


async def _drain(seconds: float, stop: Stop, gates: list[Gate], replaced: list[web.ServerRunner]) -> None:
    """Continue to answer for `seconds`, closing each connection after its next response.

    A load balancer that has not yet seen `/readyz` fail still sends new connections, so the listeners stay open for
    the whole time. Those in `replaced` have a successor on the same socket: they stop accepting first, and draining
    ends with the last connection.
    """
    for site in [site for runner in replaced for site in runner.sites]:
        await site.stop()
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop.now.is_set():
        if replaced and not any(gate.open for gate in gates):
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.now.wait(), DRAIN_POLL_S)
