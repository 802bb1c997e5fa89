"""Token buckets: what one client, and all together, may use in a second and at once, and who pays for a request."""

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

    @property
    def largest(self) -> float:
        """Return the most that may come at once."""
        return min(self.own.largest, self.all.largest)

    def take(self, client: bytes, cost: float) -> None:
        """HttpError 413 for more than may ever come at once, 429 with the time to wait for what comes too soon."""
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
        """Return the answer to what could never pass."""
        return HttpError(413, f"These are {cost:.0f} {self.unit} at once: send at most {self.largest:.0f} in a request")

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
        if count > self.records.largest:
            raise self.records.too_large(count)
        if count > 1:  # the first came with the request
            self.records.take(self.client, count - 1)
