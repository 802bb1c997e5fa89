"""The cost ledger on a real Valkey: atomic, idempotent, never below what was billed."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from infra.budget import Alert, CapReached, Caps, Ledger, Payer
from infra.embedded.process import Server
from infra.redis import RedisLine, open_redis
from schemas.errors import Retryable

CAPS = Caps(lp=2_000, day=10_000, month=100_000)


def ledger(line: RedisLine, alerts: list[Alert] | None = None, now: datetime | None = None) -> Ledger:
    def clock(zone: ZoneInfo) -> datetime:
        return (now or datetime(2026, 11, 24, 3, tzinfo=UTC)).astimezone(zone)

    return Ledger(line, "Asia/Tokyo", clock, (alerts if alerts is not None else []).append)


def payer(lp: str = "lp-1", caps: Caps = CAPS) -> Payer:
    return Payer("t1", lp, caps)


async def test_what_was_billed_takes_the_place_of_what_was_reserved_once(line: RedisLine) -> None:
    books = ledger(line)
    reservation = await books.reserve("call-1", payer(), 900)
    assert await books.spent(payer()) == {"lp": 900, "day": 900, "month": 900}
    await books.settle(reservation, 250)
    await books.settle(reservation, 250)
    assert await books.spent(payer()) == {"lp": 250, "day": 250, "month": 250}


async def test_a_call_that_is_never_settled_stays_at_its_reservation(line: RedisLine) -> None:
    await ledger(line).reserve("call-1", payer(), 900)
    assert (await ledger(line).spent(payer()))["month"] == 900


async def test_reserving_the_same_call_again_counts_once(line: RedisLine) -> None:
    books = ledger(line)
    for _ in range(3):
        await books.reserve("call-1", payer(), 100)
    assert (await books.spent(payer()))["lp"] == 100


async def test_no_cap_is_passed_however_many_reserve_at_once(line: RedisLine) -> None:
    books = [ledger(line) for _ in range(4)]

    async def one(number: int) -> bool:
        try:
            await books[number % 4].reserve(str(uuid4()), payer(f"lp-{number}"), 70)
        except CapReached as error:
            assert error.scope == "day"
            return False
        return True

    taken = await asyncio.gather(*(one(number) for number in range(400)))
    assert sum(taken) == 10_000 // 70
    assert (await books[0].spent(payer()))["day"] == 10_000 // 70 * 70


@pytest.mark.parametrize(
    ("caps", "scope"), [(Caps(50, 99, 99), "lp"), (Caps(99, 50, 99), "day"), (Caps(99, 99, 50), "month")]
)
async def test_each_cap_refuses_and_reserves_nothing(line: RedisLine, caps: Caps, scope: str) -> None:
    books = ledger(line)
    await books.reserve("call-1", payer(caps=caps), 30)
    with pytest.raises(CapReached) as refused:
        await books.reserve("call-2", payer(caps=caps), 30)
    assert refused.value.scope == scope
    assert await books.spent(payer()) == {"lp": 30, "day": 30, "month": 30}


async def test_alerts_come_once_at_50_80_and_100_percent(line: RedisLine) -> None:
    alerts: list[Alert] = []
    for number in range(25):
        books = ledger(line, alerts)  # a fresh worker each time: what was told is known to Redis
        try:
            reservation = await books.reserve(f"call-{number}", payer(f"lp-{number}", Caps(10**6, 1_000, 10**9)), 50)
        except CapReached:
            continue
        await books.settle(reservation, 45)
    assert [(alert.scope, alert.percent) for alert in alerts] == [("day", 50), ("day", 80), ("day", 100)]


async def test_days_and_months_begin_at_midnight_in_tokyo(line: RedisLine) -> None:
    before = ledger(line, now=datetime(2026, 11, 30, 14, 59, tzinfo=UTC))
    after = ledger(line, now=datetime(2026, 11, 30, 15, 0, tzinfo=UTC))
    await before.reserve("call-1", payer(), 100)
    assert await after.spent(payer()) == {"lp": 100, "day": 0, "month": 0}
    assert after.periods(datetime(2026, 11, 30, 15, 0, tzinfo=UTC)) == ("2026-12-01", "2026-12")


async def test_a_lost_ledger_is_raised_to_what_results_tell_and_never_lowered(line: RedisLine) -> None:
    books = ledger(line)
    await books.raise_to("month", "t1", "2026-11", 700)
    await books.raise_to("month", "t1", "2026-11", 300)
    assert (await books.spent(payer()))["month"] == 700


async def test_with_redis_away_nothing_is_reserved_and_the_wait_is_short(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis = open_redis(url)
    books = ledger(RedisLine(redis))
    server.kill()
    started = asyncio.get_running_loop().time()
    for number in range(50):
        with pytest.raises(Retryable):
            await books.reserve(f"call-{number}", payer(), 1)
    assert asyncio.get_running_loop().time() - started < 5, "not a second for each of the 50"
    await asyncio.to_thread(server.restart)
    await asyncio.sleep(0.6)
    await books.reserve("call-x", payer(), 1)
    await redis.aclose()
