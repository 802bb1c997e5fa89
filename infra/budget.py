"""The cost ledger in Redis, micro-yen: reserved before a call, settled after it, both atomically.

A reservation is the most that the call can cost, and counts at once. A call that is cut off, by us or by a crash,
stays at its reservation, because nobody tells what was billed: the ledger is never below the bill.
All keys carry the hash tag `{cost}`, so that a script finds them in one slot of a cluster.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from zoneinfo import ZoneInfo

from cachetools import LRUCache
from redis.asyncio import Redis

from infra.redis import RedisLine
from schemas.errors import Refused

Scope = Literal["lp", "day", "month"]
SCOPES: tuple[Scope, ...] = ("lp", "day", "month")
DAY_S = 86_400
KEPT_S = (2 * DAY_S, 40 * DAY_S, 400 * DAY_S)
CALL_S = 3_600
LEVELS = (50, 80, 100)

# KEYS: totals of lp, day, month; the call. ARGV: amount; their caps; how long each is kept; how long the call is.
# Returns 0, or the number of the total whose cap stands in the way.
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

# KEYS as above. ARGV: amount. Returns the three totals; nothing when the call is settled already.
SETTLE = """
local reserved = redis.call('GET', KEYS[4])
if not reserved then return {} end
redis.call('DEL', KEYS[4])
local totals = {}
for i = 1, 3 do totals[i] = redis.call('INCRBY', KEYS[i], tonumber(ARGV[1]) - tonumber(reserved)) end
return totals
"""

# KEYS: a total. ARGV: amount, how long it is kept.
RAISE = """
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
"""


@dataclass(frozen=True, slots=True)
class Caps:
    """Most that may be spent, micro-yen: for one LP, for one tenant in a day and in a month."""

    lp: int
    day: int
    month: int

    def of(self, scope: Scope) -> int:
        """By scope."""
        return {"lp": self.lp, "day": self.day, "month": self.month}[scope]


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays for calls, and for which LP."""

    tenant_id: str
    lp: str
    caps: Caps


@dataclass(frozen=True, slots=True)
class Reservation:
    """One call's place in the ledger."""

    amount: int
    keys: tuple[str, str, str, str]
    payer: Payer


@dataclass(frozen=True, slots=True)
class Alert:
    """A total has come to 50, 80 or 100 % of its cap, for the first time in its period."""

    scope: Scope
    tenant_id: str
    percent: int
    cap: int


class CapReached(Refused):
    """A call would have gone over a cap; it was not made."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"the cap per {scope} is reached; raise it in the tenants file")
        self.scope = scope


class Ledger:
    """Totals by LP, tenant's day and tenant's month. Days begin at midnight of the time zone."""

    def __init__(
        self, line: RedisLine, timezone: str, clock: Callable[[ZoneInfo], datetime], on_alert: Callable[[Alert], None]
    ) -> None:
        self._line = line
        self._zone = ZoneInfo(timezone)
        self._clock = clock
        self._on_alert = on_alert
        # what this process has told already, so that a total over its level costs no call each time
        self._told: LRUCache[tuple[str, int], bool] = LRUCache(10_000)

    async def reserve(self, call_id: str, payer: Payer, amount: int) -> Reservation:
        """Set the amount aside; CapReached when there is no room, Retryable when Redis does not answer."""
        keys = (*self._totals(payer), f"lp:{{cost}}:call:{call_id}")
        caps = [payer.caps.of(scope) for scope in SCOPES]
        kept = (*KEPT_S, CALL_S)

        async def work(redis: Redis) -> int:
            return int(cast(int, await redis.eval(RESERVE, 4, *keys, amount, *caps, *kept)))

        if over := await self._line.call(work):
            scope = SCOPES[over - 1]
            await self._tell(payer, scope, keys[over - 1], 100)
            raise CapReached(scope)
        return Reservation(amount, keys, payer)

    async def settle(self, reservation: Reservation, amount: int) -> None:
        """Put what was billed in the place of what was reserved; a second time changes nothing."""
        keys, payer = reservation.keys, reservation.payer

        async def work(redis: Redis) -> list[int]:
            return [int(one) for one in cast("list[int]", await redis.eval(SETTLE, 4, *keys, amount))]

        for scope, key, total in zip(SCOPES, keys, await self._line.call(work), strict=False):
            cap = payer.caps.of(scope)
            if reached := max((level for level in LEVELS if total * 100 >= level * cap > 0), default=0):
                await self._tell(payer, scope, key, reached)

    async def _tell(self, payer: Payer, scope: Scope, key: str, percent: int) -> None:
        """Tell it once in the period of the total."""
        if (key, percent) in self._told:
            return
        self._told[key, percent] = True
        kept = KEPT_S[SCOPES.index(scope)]
        if await self._line.call(lambda redis: redis.set(f"{key}:told:{percent}", 1, nx=True, ex=kept)):
            self._on_alert(Alert(scope, payer.tenant_id, percent, payer.caps.of(scope)))

    async def spent(self, payer: Payer) -> dict[Scope, int]:
        """Totals now, reservations included, micro-yen."""
        keys = self._totals(payer)
        found = await self._line.call(lambda redis: redis.mget(keys))
        return {scope: int(one or 0) for scope, one in zip(SCOPES, found, strict=True)}

    async def raise_to(self, scope: Literal["day", "month"], tenant_id: str, period: str, amount: int) -> None:
        """Let a total be at least this: for a ledger that was lost and is made anew from results."""
        kept = KEPT_S[SCOPES.index(scope)]
        key = _key(scope, f"{tenant_id}:{period}")
        await self._line.call(lambda redis: redis.eval(RAISE, 1, key, amount, kept))

    def periods(self, at: datetime) -> tuple[str, str]:
        """Names of the day and the month of a time."""
        local = at.astimezone(self._zone)
        return local.strftime("%Y-%m-%d"), local.strftime("%Y-%m")

    def _totals(self, payer: Payer) -> tuple[str, str, str]:
        day, month = self.periods(self._clock(self._zone))
        tenant = payer.tenant_id
        return _key("lp", payer.lp), _key("day", f"{tenant}:{day}"), _key("month", f"{tenant}:{month}")


def _key(scope: Scope, name: str) -> str:
    return f"lp:{{cost}}:{scope}:{name}"
