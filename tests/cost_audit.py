"""The comparison of the cost ledger with the providers' bills, call by call.

The ledger must hold the billed amount of each settled call. For a call that was cut off and is not settled, it must
hold the reservation, which must not be less than the bill. The sum must equal the ledger's total to the micro-yen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from infra.redis.budget import SETTLED

CALL = "lp:{cost}:call:"
MONTHS = "lp:{cost}:month:*"


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit, in micro-yen.

    `expected` is the bill of settled calls plus the reservations of calls that were `cut_off`.
    """

    ledger: int
    billed: int
    expected: int
    cut_off: int
    calls: int

    @property
    def right(self) -> bool:
        """Whether the ledger equals `expected` and is not below the bill."""
        return self.ledger == self.expected and self.ledger >= self.billed

    def __str__(self) -> str:
        over = self.ledger - self.billed
        return (
            f"ledger {self.ledger:,} micro-yen, billed {self.billed:,} for {self.calls} calls, "
            f"over by {over:,} for {self.cut_off} cut off"
        )


async def audit(redis: Redis, bills: Iterable[dict[str, Any]], before: int = 0) -> Audit:
    """Compare the ledger with the bills. `before` is the ledger's total when the bills began."""
    lines = [line for bill in bills for line in bill["lines"]]
    reserved = await _reserved(redis)
    known = {line["call_id"] for line in lines}
    open_calls = {name: amount for name, amount in reserved.items() if name in known}
    settled = sum(line["micro_jpy"] for line in lines if line["call_id"] not in open_calls)
    # a reserved call that never reached a provider counts as cut off too
    elsewhere = sum(amount for name, amount in reserved.items() if name not in known)
    return Audit(
        ledger=await total(redis) - before,
        billed=sum(line["micro_jpy"] for line in lines),
        expected=settled + sum(open_calls.values()) + elsewhere,
        cut_off=len(reserved),
        calls=len(lines),
    )


async def total(redis: Redis) -> int:
    """Return the ledger's total over all tenants and months, in micro-yen."""
    names = [name async for name in redis.scan_iter(match=MONTHS, count=1_000) if b":told:" not in name]
    return sum(int(value or 0) for value in await redis.mget(names)) if names else 0


async def forget_open_calls(redis: Redis) -> None:
    """Exclude the reservations of calls that were cut off before from the next audit."""
    for name in [name async for name in redis.scan_iter(match=f"{CALL}*", count=1_000)]:
        await redis.set(name, SETTLED, xx=True, keepttl=True)  # a deleted key would be written again by the worker


async def _reserved(redis: Redis) -> dict[str, int]:
    names = [name async for name in redis.scan_iter(match=f"{CALL}*", count=1_000)]
    values = await redis.mget(names) if names else []
    calls = {name.decode().removeprefix(CALL): value for name, value in zip(names, values, strict=True)}
    return {name: int(value) for name, value in calls.items() if value not in (None, SETTLED.encode())}
