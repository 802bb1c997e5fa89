"""What is let in, decided before anything is parsed: rates, requests and bytes in hand, connections.

A client is known by a keyed hash of its address, under a key of this process that is never written anywhere: neither
address nor hash is stored or logged.
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
from streams.runtime.settings import LEAST_BODY, Settings

DIGEST_BYTES = 8


class Arriving:
    """A body that is still to come from a client, until `release`."""

    __slots__ = ("_admission", "_client", "_weight")

    def __init__(self, admission: "Admission", client: bytes, weight: int) -> None:
        self._admission = admission
        self._client = client
        self._weight = weight

    def release(self) -> None:
        """It has come, or never will; again is nothing."""
        self._admission.arrived(self._client, self._weight)
        self._weight = 0


class Room:
    """Bytes that one request has reserved, for the time of a `with` block."""

    __slots__ = ("_admission", "held")

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give everything back."""
        self._admission.bytes -= self.held
        self.held = 0

    def grow(self, total: int) -> None:
        """Hold so many in all; HttpError 503 when the process has not that many left."""
        more = total - self.held
        if more <= 0:
            return
        self._admission.take_bytes(more)
        self.held = total


class Admission:
    """The limits of one listener of a process. `draining`: every connection is to end with its answer."""

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
        """The client of an address, as a hash."""
        network = network_of(address)
        return UNKNOWN if network is None else self._hashed(network)

    def _hashed(self, network: bytes) -> bytes:
        return hashlib.blake2b(network, key=self._key, digest_size=DIGEST_BYTES).digest()

    def forwarded(self, headers: CIMultiDictProxy[str], peer: bytes) -> bytes:
        """The client that our proxies name; the peer, which is one of them, when the header is too short to name one.

        A visitor writes the header's beginning. So it never names itself: all requests without a name are one client.
        """
        trusted = self._settings.edge_trusted_proxies
        network = forwarded(headers.getall("X-Forwarded-For", ()), trusted) if trusted else None
        return peer if network is None else self._hashed(network)

    def admit(self, headers: CIMultiDictProxy[str], client: bytes, origin: str | None) -> Account:
        """Foreign origins and too frequent clients stop here, before a byte of a body is read: HttpError 403 or 429.

        Returns the account that pays for what the body holds.
        """
        if origin is not None and not self._tenants.knows(origin):
            metrics.REFUSED.labels("origin").inc()
            raise HttpError(403, "This origin may not use this service; ask for it to be listed")
        account = self.visitor(headers, client)
        self.check_rate(account.client)
        return account

    def visitor(self, headers: CIMultiDictProxy[str], client: bytes) -> Account:
        """The account of a request's visitor, whom our own proxies name where there are any."""
        return Account(self.forwarded(headers, client), self._visits, self._visits_bytes)

    def tenant(self, tenant_id: str) -> Account:
        """The account of a tenant at the private listener; HttpError 429 when its requests come too often."""
        account = Account(tenant_id.encode(), self._tenants_records, self._tenants_bytes)
        account.records.take(account.client, 1)
        return account

    def check_rate(self, client: bytes) -> None:
        """HttpError 429 with the time to wait when the client, or all together, come too often."""
        self._visits.take(client, 1)

    def begin(self) -> None:
        """One more request in hand; HttpError 503 when there are too many."""
        if self.requests >= self._settings.edge_max_requests:
            metrics.REFUSED.labels("requests").inc()
            raise HttpError(503, "Too many requests at once, try again")
        self.requests += 1

    def end(self) -> None:
        """One less."""
        self.requests -= 1

    def arriving(self, client: bytes, length: int | None) -> Arriving:
        """A body that a client has yet to send, of unknown length maybe; HttpError 429 when it has too many such.

        It holds a request, a connection, and the bytes that it has announced, for as long as its client likes.
        """
        most = self._settings.edge_client_body_bytes
        weight = max(self._settings.edge_max_body_bytes if length is None else length, LEAST_BODY)
        if most and self._arriving[client] + weight > most:
            metrics.REFUSED.labels("client_bodies").inc()
            raise HttpError(429, "Too many slow bodies from this address")
        self._arriving[client] += weight
        return Arriving(self, client, weight)

    def arrived(self, client: bytes, weight: int) -> None:
        """So much less is to come."""
        self._arriving[client] -= weight
        if not self._arriving[client]:
            del self._arriving[client]

    def room(self) -> Room:
        """Room for one request's bytes."""
        return Room(self)

    def take_bytes(self, count: int) -> None:
        """Reserve; HttpError 503 when there is not enough left."""
        if self.bytes + count > self._settings.edge_max_in_flight_bytes:
            metrics.REFUSED.labels("bytes").inc()
            raise HttpError(503, "Too much is waiting for the broker, try again")
        self.bytes += count

    def forget(self) -> None:
        """Drop what is known of clients that have long been quiet."""
        now = time.monotonic()
        self._visits.forget(now)
        self._visits_bytes.forget(now)
