"""What is let in, decided before anything is parsed: rates, requests and bytes in hand, connections.

A client is known by a keyed hash of its address, under a key of this process that is never written anywhere: neither
address nor hash is stored or logged.
"""

import hashlib
import ipaddress
import math
import secrets
import time
from dataclasses import dataclass
from typing import Self

from msgspec import Struct
from multidict import CIMultiDictProxy

from infra.tenants import Tenants
from streams import metrics
from streams.edge.errors import HttpError
from streams.settings import Settings

BURST_S = 10.0
MOST_CLIENTS = 100_000
ROUNDING_S = 1e-6
DIGEST_BYTES = 8
UNKNOWN = b""


class Rate:
    """A token bucket of `rate` a second that holds `BURST_S` seconds' worth, for many keys; rate 0 lets all pass.

    Kept as one number a key, the time at which its bucket is full again: the generic cell rate algorithm, ITU-T
    I.371. A key whose time has passed is as one never seen, so forgetting it changes nothing.
    """

    def __init__(self, rate: float, most: int = MOST_CLIENTS) -> None:
        self._step = 1 / rate if rate else 0.0
        self._holds_s = max(BURST_S, self._step)
        self._most = most
        self._full_at: dict[bytes, float] = {}

    @property
    def largest(self) -> float:
        """The most tokens that can ever be taken at once."""
        return self._holds_s / self._step if self._step else math.inf

    def wait(self, key: bytes, now: float, cost: float = 1) -> float:
        """Take `cost` tokens at time `now` (s): 0.0, or the seconds until there are so many, and none is taken.

        More than `largest` never come, however long one waits.
        """
        if not self._step:
            return 0.0
        full_at = self._full_at.get(key, now)
        if full_at < now:
            full_at = now
        full_at += self._step * cost
        if (beyond := full_at - now - self._holds_s) > ROUNDING_S:
            return beyond
        if len(self._full_at) < self._most or key in self._full_at:
            self._full_at[key] = full_at
        return 0.0

    def forget(self, now: float) -> None:
        """Drop the keys whose buckets are full."""
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}

    def __len__(self) -> int:
        return len(self._full_at)


@dataclass(frozen=True, slots=True)
class Meter:
    """A rate for each client, and one for all together: of requests and records, or of bytes.

    `cause` and `all_cause` name them in metrics, `unit` to the client.
    """

    own: Rate
    all: Rate
    cause: str
    all_cause: str
    unit: str

    def take(self, client: bytes, cost: float) -> None:
        """HttpError 413 for more than may ever come at once, 429 with the time to wait for what comes too soon."""
        now = time.monotonic()
        if wait := self.own.wait(client, now, cost):
            raise self._refused(self.cause, f"Too many {self.unit} from this address or tenant", cost, wait)
        if wait := self.all.wait(UNKNOWN, now, cost):
            raise self._refused(self.all_cause, f"Too many {self.unit}", cost, wait)

    def _refused(self, cause: str, message: str, cost: float, wait: float) -> HttpError:
        metrics.REFUSED.labels(cause).inc()
        largest = min(self.own.largest, self.all.largest)
        if cost > largest:
            return HttpError(413, f"These are {cost:.0f} {self.unit} at once: send at most {largest:.0f} in a request")
        return HttpError(429, message, retry_after_s=math.ceil(wait))

    def forget(self, now: float) -> None:
        """Drop the clients whose buckets are full."""
        self.own.forget(now)


class Account(Struct, frozen=True):
    """Who pays for what is in a request: a visitor's address, or a tenant. The request itself is paid for."""

    client: bytes
    records: Meter
    bytes: Meter

    def pay_bytes(self, size: int) -> None:
        """Pay for a body's bytes when it is inflated, before it is parsed; HttpError 413 or 429."""
        self.bytes.take(self.client, size)

    def pay_records(self, count: int) -> None:
        """Pay for a request's records before the first is sent; HttpError 413 or 429."""
        if count > 1:  # the first came with the request
            self.records.take(self.client, count - 1)


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
    """The limits of one process, for both of its listeners. `draining`: every connection is to end with its answer."""

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
        self.requests = 0
        self.bytes = 0
        self.draining = False

    def client_of(self, address: str) -> bytes:
        """The client of an address: IPv4 as it is, IPv6 by its /64, which one household has."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return UNKNOWN
        packed = parsed.packed if parsed.version == 4 else parsed.packed[:8]
        return hashlib.blake2b(packed, key=self._key, digest_size=DIGEST_BYTES).digest()

    def forwarded(self, header: str) -> bytes:
        """The client that the last of our own proxies names; the proxies' own client when the header is too short."""
        hops = header.split(",")
        at = len(hops) - self._settings.edge_trusted_proxies
        return self.client_of(hops[max(0, at)].strip())

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
        forwarded = headers.get("X-Forwarded-For") if self._settings.edge_trusted_proxies else None
        payer = self.forwarded(forwarded) if forwarded else client
        return Account(payer, self._visits, self._visits_bytes)

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
