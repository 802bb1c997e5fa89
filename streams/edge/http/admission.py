"""Admission control before a body is parsed: rates, open requests and bytes in memory.

A client is identified by a keyed hash of its address. The key exists only in the memory of this process. Neither the
address nor the hash is stored or logged.
"""

import hashlib
import secrets
import time
from collections import Counter
from typing import Self

from multidict import CIMultiDictProxy

from infra.tenants import Tenants
from streams.edge.http.addresses import forwarded, network_of
from streams.edge.http.errors import HttpError
from streams.edge.http.rates import UNKNOWN, Account, Meter, Rate
from streams.runtime import metrics
from streams.runtime.contradictions import LEAST_BODY
from streams.runtime.settings import Settings

DIGEST_BYTES = 8


class Arriving:
    """A request body that a client is still sending, until `release`."""

    __slots__ = ("_admission", "_client", "_weight")

    def __init__(self, admission: "Admission", client: bytes, weight: int) -> None:
        self._admission = admission
        self._client = client
        self._weight = weight

    def release(self) -> None:
        """Count the body as received or given up. A second call does nothing."""
        self._admission.arrived(self._client, self._weight)
        self._weight = 0


class Room:
    """The bytes that one request has reserved, for the duration of a `with` block."""

    __slots__ = ("_admission", "held")

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give back all reserved bytes."""
        self._admission.bytes -= self.held
        self.held = 0

    def grow(self, total: int) -> None:
        """Raise the reservation to `total` bytes. Raise HttpError 503 if the process has too few left."""
        more = total - self.held
        if more <= 0:
            return
        self._admission.take_bytes(more)
        self.held = total


class Admission:
    """The limits of one listener of a process. If `draining`, each connection closes after its response."""

    def __init__(self, settings: Settings, tenants: Tenants) -> None:
        self._settings = settings
        self._tenants = tenants
        self._key = secrets.token_bytes(32)
        client, all_, tenant = settings.edge_client_rate, settings.edge_rate, settings.edge_tenant_rate
        self._visits = Meter(Rate(client), Rate(all_), "client_rate", "rate", "requests or records")
        self._tenants_records = Meter(Rate(tenant), Rate(0), "tenant_rate", "rate", "requests or records")
        client, all_, tenant = settings.edge_client_byte_rate, settings.edge_byte_rate, settings.edge_tenant_byte_rate
        self._visits_bytes = Meter(Rate(client), Rate(all_), "client_byte_rate", "byte_rate", "bytes")
        self._tenants_bytes = Meter(Rate(tenant), Rate(0), "tenant_byte_rate", "byte_rate", "bytes")
        self._arriving: Counter[bytes] = Counter()
        self.requests = 0
        self.bytes = 0
        self.draining = False

    def client_of(self, address: str) -> bytes:
        """Return the client of an address as a keyed hash."""
        network = network_of(address)
        return UNKNOWN if network is None else self._hashed(network)

    def _hashed(self, network: bytes) -> bytes:
        return hashlib.blake2b(network, key=self._key, digest_size=DIGEST_BYTES).digest()

    def forwarded(self, headers: CIMultiDictProxy[str], peer: bytes) -> bytes:
        """Return the client that the trusted proxies name, or `peer` if the header is too short.

        A visitor can forge the beginning of the header, so only the proxies' entries count. `peer` is then a proxy:
        all requests without a named client count as that one client.
        """
        trusted = self._settings.edge_trusted_proxies
        network = forwarded(headers.getall("X-Forwarded-For", ()), trusted) if trusted else None
        return peer if network is None else self._hashed(network)

    def admit(self, headers: CIMultiDictProxy[str], client: bytes, origin: str | None) -> Account:
        """Return the account that pays for the contents of the body. No byte of the body is read before.

        Raise HttpError 403 for an origin that is not listed, 429 for a client that comes too often.
        """
        if origin is not None and not self._tenants.knows(origin):
            metrics.REFUSED.labels("origin").inc()
            raise HttpError(403, "This origin may not use this service; ask the operator to list it")
        account = self.visitor(headers, client)
        self.check_rate(account.client)
        return account

    def visitor(self, headers: CIMultiDictProxy[str], client: bytes) -> Account:
        """Return the visitor's account, identified by the trusted proxies if there are any."""
        return Account(self.forwarded(headers, client), self._visits, self._visits_bytes)

    def tenant(self, tenant_id: str) -> Account:
        """Return a tenant's account at the private listener. Raise HttpError 429 above its rate."""
        account = Account(tenant_id.encode(), self._tenants_records, self._tenants_bytes)
        account.records.take(account.client, 1)
        return account

    def check_rate(self, client: bytes) -> None:
        """Count a request. Raise HttpError 429 with the time to wait if a rate is exceeded."""
        self._visits.take(client, 1)

    def begin(self) -> None:
        """Count a request as open. Raise HttpError 503 if too many are open."""
        if self.requests >= self._settings.edge_max_requests:
            metrics.REFUSED.labels("requests").inc()
            raise HttpError(503, "Too many requests at once, try again")
        self.requests += 1

    def end(self) -> None:
        """Count a request as finished."""
        self.requests -= 1

    def arriving(self, client: bytes, length: int | None) -> Arriving:
        """Count a body that the client has yet to send. Raise HttpError 429 above the client's limit.

        `length` is None if unknown. A slow client holds a request, a connection and the announced bytes for long.
        """
        most = self._settings.edge_client_body_bytes
        weight = max(self._settings.edge_max_body_bytes if length is None else length, LEAST_BODY)
        if most and self._arriving[client] + weight > most:
            metrics.REFUSED.labels("client_bodies").inc()
            raise HttpError(429, "Too many unfinished request bodies from this address, try again")
        self._arriving[client] += weight
        return Arriving(self, client, weight)

    def arrived(self, client: bytes, weight: int) -> None:
        """Subtract a body that was received or given up."""
        self._arriving[client] -= weight
        if not self._arriving[client]:
            del self._arriving[client]

    def room(self) -> Room:
        """Return an empty reservation for one request."""
        return Room(self)

    def take_bytes(self, count: int) -> None:
        """Reserve bytes. Raise HttpError 503 if too few are left."""
        if self.bytes + count > self._settings.edge_max_in_flight_bytes:
            metrics.REFUSED.labels("bytes").inc()
            raise HttpError(503, "Too many bytes are waiting for the broker, try again")
        self.bytes += count

    def forget(self) -> None:
        """Forget the clients whose buckets are full again."""
        now = time.monotonic()
        self._visits.forget(now)
        self._visits_bytes.forget(now)
