"""The cost ledger in Redis, micro-yen: reserved before a call, settled after it, both atomically.

A reservation is the maximum cost of the call, and it counts at once. A call that we or a crash cut off stays at its
reservation, because its bill is unknown: the ledger is never below the bill.
Redis may lose its last second or all its data, so each process writes its recent calls a second time.
All keys carry the hash tag `{cost}`, so that they share one slot of a cluster and a script can use them together.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from cachetools import LRUCache
from redis.asyncio import Redis

from infra.caps import Caps, Scope
from infra.redis.line import RedisLine
from schemas.errors import Refused, Retryable

log = logging.getLogger(__name__)

SCOPES: tuple[Scope, ...] = ("lp", "day", "month")
DAY_S = 86_400
KEPT_S = (2 * DAY_S, 40 * DAY_S, 400 * DAY_S)
CALL_S = 3_600
LEVELS = (50, 80, 100)
# Redis may lose two seconds with `everysec`, and ten in a failover. After a total loss the costs of published pages
# come back from their results. 15 s after a call its page is published.
CONFIRM_S, POLL_S = 15.0, 0.5
MOST_RECENT, BATCH = 10_000, 100
SETTLED = "settled"

# KEYS: totals of lp, day, month; the call. ARGV: amount; three caps; TTL of each total; TTL of the call.
# Returns 0 if the amount is reserved, or the number (1 to 3) of the first total that would exceed its cap.
RESERVE = """
if redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
for i = 1, 3 do
  if tonumber(redis.call('GET', KEYS[i]) or '0') + tonumber(ARGV[1]) > tonumber(ARGV[1 + i]) then return i end
end
for i = 1, 3 do
  redis.call('INCRBY', KEYS[i], ARGV[1])
  redis.call('EXPIRE', KEYS[i], ARGV[4 + i])
end
redis.call('SET', KEYS[4], ARGV[1], 'EX', ARGV[8])
return 0
"""

# KEYS as above. ARGV: amount; new value of the call's key (SETTLED, or the reserved amount); the four TTLs.
# A call that Redis lost counts from 0. Returns the three totals, or nothing if Redis already had this state.
SETTLE = """
local known = redis.call('GET', KEYS[4])
if known == 'settled' or known == ARGV[2] then return {} end
local totals = {}
for i = 1, 3 do
  totals[i] = redis.call('INCRBY', KEYS[i], tonumber(ARGV[1]) - tonumber(known or '0'))
  redis.call('EXPIRE', KEYS[i], ARGV[2 + i])
end
redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[6])
return totals
"""

# KEYS: totals of lp, day, month. ARGV: cost of the request; TTL of each total.
# The total of the lp is the part of the cost that the ledger has already.
REFILL = """
local more = tonumber(ARGV[1]) - tonumber(redis.call('GET', KEYS[1]) or '0')
if more <= 0 then return end
for i = 1, 3 do
  redis.call('INCRBY', KEYS[i], more)
  redis.call('EXPIRE', KEYS[i], ARGV[1 + i])
end
"""


@dataclass(frozen=True, slots=True)
class Payer:
    """The tenant that pays for calls, the LP they are for, and the caps."""

    tenant_id: str
    lp: str
    caps: Caps


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an answered request, in micro-yen, from its result. `at` is the time of the result."""

    tenant_id: str
    lp: str
    at: datetime
    amount: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """One call in the ledger: its reserved amount, its four keys and its payer."""

    amount: int
    keys: tuple[str, str, str, str]
    payer: Payer


@dataclass(frozen=True, slots=True)
class _Recent:
    """A recent call: its amount, its key's value in Redis, and when to write both again (monotonic s)."""

    reservation: Reservation
    amount: int
    holds: str
    due: float


@dataclass(frozen=True, slots=True)
class Alert:
    """The alert that a total reached 50, 80 or 100 % of its cap, sent once in the period."""

    scope: Scope
    tenant_id: str
    percent: int
    cap: int


class CapReached(Refused):
    """The error that a call would exceed a cap; the call was not made."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"the cap per {scope} is reached; raise it in the tenants file")
        self.scope = scope


class Ledger:
    """The totals by LP, tenant and day, tenant and month. Days begin at midnight of the time zone."""

    def __init__(
        self, line: RedisLine, timezone: str, clock: Callable[[ZoneInfo], datetime], on_alert: Callable[[Alert], None]
    ) -> None:
        self._line = line
        self._zone = ZoneInfo(timezone)
        self._clock = clock
        self._on_alert = on_alert
        # levels that have raised an alert, so that a total over its level costs no Redis call each time
        self._alerted: LRUCache[tuple[str, int], bool] = LRUCache(10_000)
        # calls that Redis may lose, by their key; the earliest due comes first
        self._recent: dict[str, _Recent] = {}

    async def reserve(self, call_id: str, payer: Payer, amount: int) -> Reservation:
        """Reserve the amount. Raise CapReached if a cap is reached, Retryable if Redis does not answer."""
        keys = (*self._totals(payer), f"lp:{{cost}}:call:{call_id}")
        caps = [payer.caps.of(scope) for scope in SCOPES]
        ttls = (*KEPT_S, CALL_S)

        async def work(redis: Redis) -> int:
            return int(cast(int, await redis.eval(RESERVE, 4, *keys, amount, *caps, *ttls)))

        if over := await self._line.call(work):
            scope = SCOPES[over - 1]
            await self._alert_once(payer, scope, keys[over - 1], 100)
            raise CapReached(scope)
        reservation = Reservation(amount, keys, payer)
        self._remember(reservation, amount, str(amount))
        return reservation

    async def settle(self, reservation: Reservation, amount: int) -> None:
        """Replace the reserved amount by the billed amount; if Redis is away, `confirm` does it later."""
        recent = self._remember(reservation, amount, SETTLED)
        with contextlib.suppress(Retryable):
            [totals] = await self._write([recent])
            await self._alert(reservation, totals)

    # -- calls that Redis may lose ---------------------------------------------------------------------

    async def keep_confirmed(self) -> None:
        """Confirm recent calls until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(Retryable):
                await self.confirm()

    async def confirm(self, *, all_calls: bool = False) -> None:
        """Write the due (or all) recent calls to Redis again. Raise Retryable if Redis does not answer.

        A call that Redis still had is on its disk by now, so it is dropped. Other calls may be lost again and stay.
        """
        now = math.inf if all_calls else time.monotonic()
        due = [recent for recent in self._recent.values() if recent.due <= now]
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            answers = await self._write(batch)
            for recent, totals in zip(batch, answers, strict=True):
                if self._recent.get(recent.reservation.keys[3]) is not recent:
                    continue  # settled during the write
                if totals:
                    self._remember(recent.reservation, recent.amount, recent.holds)
                else:
                    del self._recent[recent.reservation.keys[3]]
            for recent, totals in zip(batch, answers, strict=True):
                await self._alert(recent.reservation, totals)

    async def close(self) -> None:
        """Confirm all recent calls a last time."""
        try:
            await self.confirm(all_calls=True)
        except Retryable as error:
            amount = sum(recent.amount for recent in self._recent.values())
            log.warning("%s; the ledger may lack %d calls of %d micro-yen", error, len(self._recent), amount)

    def _remember(self, reservation: Reservation, amount: int, holds: str) -> _Recent:
        recent = _Recent(reservation, amount, holds, time.monotonic() + CONFIRM_S)
        self._recent.pop(reservation.keys[3], None)
        self._recent[reservation.keys[3]] = recent
        if len(self._recent) > MOST_RECENT:
            oldest = self._recent.pop(next(iter(self._recent)))
            tenant = oldest.reservation.payer.tenant_id
            log.warning("too many recent calls: %d micro-yen of tenant %s are not confirmed", oldest.amount, tenant)
        return recent

    async def _write(self, calls: Sequence[_Recent]) -> list[list[int]]:
        """Return the totals after each call's change; an empty list where Redis already had the call."""

        async def work(redis: Redis) -> list[list[int]]:
            async with redis.pipeline(transaction=False) as pipe:
                for recent in calls:
                    pipe.eval(SETTLE, 4, *recent.reservation.keys, recent.amount, recent.holds, *KEPT_S, CALL_S)
                return await pipe.execute()

        return await self._line.call(work)

    # -- alerts and totals -----------------------------------------------------------------------------

    async def _alert(self, reservation: Reservation, totals: Sequence[int]) -> None:
        payer = reservation.payer
        for scope, key, total in zip(SCOPES, reservation.keys, totals, strict=False):
            cap = payer.caps.of(scope)
            if reached := max((level for level in LEVELS if total * 100 >= level * cap > 0), default=0):
                await self._alert_once(payer, scope, key, reached)

    async def _alert_once(self, payer: Payer, scope: Scope, key: str, percent: int) -> None:
        """Call `on_alert` once in the period of the total."""
        if (key, percent) in self._alerted:
            return
        ttl_s = KEPT_S[SCOPES.index(scope)]
        first = await self._line.call(lambda redis: redis.set(f"{key}:told:{percent}", 1, nx=True, ex=ttl_s))
        self._alerted[key, percent] = True
        if first:
            self._on_alert(Alert(scope, payer.tenant_id, percent, payer.caps.of(scope)))

    async def spent(self, payer: Payer) -> dict[Scope, int]:
        """Return the current totals in micro-yen, reservations included."""
        keys = self._totals(payer)
        totals = await self._line.call(lambda redis: redis.mget(keys))
        return {scope: int(total or 0) for scope, total in zip(SCOPES, totals, strict=True)}

    async def refill(self, costs: Sequence[Cost]) -> None:
        """Add the costs of requests after a Redis loss, without the part that the ledger has already.

        A repeated refill adds nothing.
        """

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                for cost in costs:
                    keys = self._keys(cost.tenant_id, cost.lp, cost.at.astimezone(self._zone))
                    pipe.eval(REFILL, 3, *keys, cost.amount, *KEPT_S)
                await pipe.execute()

        await self._line.call(work)

    def _totals(self, payer: Payer) -> tuple[str, str, str]:
        return self._keys(payer.tenant_id, payer.lp, self._clock(self._zone))

    def _keys(self, tenant_id: str, lp: str, local: datetime) -> tuple[str, str, str]:
        day, month = local.strftime("%Y-%m-%d"), local.strftime("%Y-%m")
        return _key("lp", lp), _key("day", f"{tenant_id}:{day}"), _key("month", f"{tenant_id}:{month}")


def _key(scope: Scope, name: str) -> str:
    return f"lp:{{cost}}:{scope}:{name}"
