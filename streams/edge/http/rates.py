"""Token buckets for each client and for all together, and the account that pays for a request."""

import math
import time
from dataclasses import dataclass

from msgspec import Struct

from streams.edge.http.errors import HttpError
from streams.runtime import metrics

BURST_S = 10.0
MOST_CLIENTS = 100_000
ROUNDING_S = 1e-6
UNKNOWN = b""


class Rate:
    """A token bucket for each key: `rate` tokens/s, at most `BURST_S` seconds' worth. Rate 0 is no limit.

    A key has one number, the time at which its bucket is full again: the generic cell rate algorithm, ITU-T I.371.
    A key whose time has passed is like an unknown key, so forgetting it changes nothing.
    """

    def __init__(self, rate: float, most: int = MOST_CLIENTS) -> None:
        self._step = 1 / rate if rate else 0.0
        self._holds_s = max(BURST_S, self._step)
        self._most = most
        self._full_at: dict[bytes, float] = {}

    @property
    def largest(self) -> float:
        """The most tokens that can be taken at once."""
        return self._holds_s / self._step if self._step else math.inf

    def wait(self, key: bytes, now: float, cost: float = 1) -> float:
        """Take `cost` tokens at time `now` (s). Return 0.0, or the seconds until they are available.

        If they are not available, none is taken. More than `largest` tokens never become available.
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
    """A rate for each client and a rate for all together, of requests and records or of bytes.

    `cause` and `all_cause` name them in metrics, `unit` in messages.
    """

    own: Rate
    all: Rate
    cause: str
    all_cause: str
    unit: str

    @property
    def largest(self) -> float:
        """The most that can be taken at once."""
        return min(self.own.largest, self.all.largest)

    def take(self, client: bytes, cost: float) -> None:
        """Take `cost` from both rates. Raise HttpError 429 with the time to wait, 413 above `largest`."""
        now = time.monotonic()
        if wait := self.own.wait(client, now, cost):
            raise self._refused(self.cause, f"Too many {self.unit} from this address or tenant", cost, wait)
        if wait := self.all.wait(UNKNOWN, now, cost):
            raise self._refused(self.all_cause, f"Too many {self.unit}", cost, wait)

    def _refused(self, cause: str, message: str, cost: float, wait: float) -> HttpError:
        metrics.REFUSED.labels(cause).inc()
        if cost > self.largest:
            return self.too_large(cost)
        return HttpError(429, message, retry_after_s=math.ceil(wait))

    def too_large(self, cost: float) -> HttpError:
        """Return the error for a request that can never pass."""
        return HttpError(413, f"The request has {cost:.0f} {self.unit}; send at most {self.largest:.0f} in one request")

    def forget(self, now: float) -> None:
        """Drop the clients whose buckets are full."""
        self.own.forget(now)


class Account(Struct, frozen=True):
    """The visitor or tenant that pays for a request's contents. The request itself is paid for already."""

    client: bytes
    records: Meter
    bytes: Meter

    def pay_bytes(self, size: int) -> None:
        """Pay for the bytes of an inflated body before it is parsed. Raise HttpError 413 or 429."""
        self.bytes.take(self.client, size)

    def pay_records(self, count: int) -> None:
        """Pay for a request's records before the first is sent. Raise HttpError 413 or 429."""
        if count > self.records.largest:
            raise self.records.too_large(count)
        if count > 1:  # the request itself paid for the first
            self.records.take(self.client, count - 1)
