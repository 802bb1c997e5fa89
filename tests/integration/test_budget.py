"""The cost ledger on a real Valkey: atomic, idempotent, never below the provider's bill."""

import asyncio
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from infra.caps import Caps
from infra.embedded import stores
from infra.embedded.ports import Ports
from infra.embedded.process import Server
from infra.redis import budget
from infra.redis.budget import CALL_S, KEPT_S, Alert, CapReached, Cost, Ledger, Payer
from infra.redis.line import RedisLine, open_redis
from schemas.errors import Retryable

CAPS = Caps(lp=2_000, day=10_000, month=100_000)


def ledger(line: RedisLine, alerts: list[Alert] | None = None, now: datetime | None = None) -> Ledger:
    def clock(zone: ZoneInfo) -> datetime:
        return (now or datetime(2026, 11, 24, 3, tzinfo=UTC)).astimezone(zone)

    return Ledger(line, "Asia/Tokyo", clock, (alerts if alerts is not None else []).append)


def payer(lp: str = "lp-1", caps: Caps = CAPS) -> Payer:
    return Payer("t1", lp, caps)


async def test_settling_replaces_a_reservation_once(line: RedisLine) -> None:
    books = ledger(line)
    reservation = await books.reserve("call-1", payer(), 900)
    assert await books.spent(payer()) == {"lp": 900, "day": 900, "month": 900}
    await books.settle(reservation, 250)
    await books.settle(reservation, 250)
    assert await books.spent(payer()) == {"lp": 250, "day": 250, "month": 250}


async def test_an_unsettled_call_stays_at_its_reservation(line: RedisLine) -> None:
    await ledger(line).reserve("call-1", payer(), 900)
    assert (await ledger(line).spent(payer()))["month"] == 900


async def test_repeated_reservations_of_a_call_count_once(line: RedisLine) -> None:
    books = ledger(line)
    for _ in range(3):
        await books.reserve("call-1", payer(), 100)
    assert (await books.spent(payer()))["lp"] == 100


async def test_concurrent_reservations_do_not_exceed_a_cap(line: RedisLine) -> None:
    books = [ledger(line) for _ in range(4)]

    async def one(number: int) -> bool:
        try:
            await books[number % 4].reserve(str(uuid4()), payer(f"lp-{number}"), 70)
        except CapReached as error:
            assert error.scope == "day"
            return False
        return True

    accepted = await asyncio.gather(*(one(number) for number in range(400)))
    assert sum(accepted) == 10_000 // 70
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


async def test_alerts_are_sent_once_at_50_80_and_100_percent(line: RedisLine) -> None:
    alerts: list[Alert] = []
    for number in range(25):
        books = ledger(line, alerts)  # a new ledger each time: Redis stores which alerts were sent
        try:
            reservation = await books.reserve(f"call-{number}", payer(f"lp-{number}", Caps(10**6, 1_000, 10**9)), 50)
        except CapReached:
            continue
        await books.settle(reservation, 45)
    assert [(alert.scope, alert.percent) for alert in alerts] == [("day", 50), ("day", 80), ("day", 100)]


async def test_days_and_months_start_at_midnight_in_tokyo(line: RedisLine) -> None:
    before = ledger(line, now=datetime(2026, 11, 30, 14, 59, tzinfo=UTC))
    after = ledger(line, now=datetime(2026, 11, 30, 15, 0, tzinfo=UTC))
    await before.reserve("call-1", payer(), 100)
    assert await after.spent(payer()) == {"lp": 100, "day": 0, "month": 0}


class Spending:
    """Calls of one tenant, some settled and some cut off, with the sums that they were billed."""

    def __init__(self, books: Ledger) -> None:
        self._books = books
        self.payer = payer(caps=Caps(10**12, 10**12, 10**12))
        self.sums: Counter[str] = Counter()
        self.ended = False

    async def go_on(self) -> None:
        """Make calls one after another until `ended` is set."""
        while not self.ended:
            reserved = random.randint(500, 1_000)
            billed = random.randint(100, reserved)
            try:
                reservation = await self._books.reserve(str(uuid4()), self.payer, reserved)
            except Retryable as error:
                if "is away" not in str(error):
                    self.sums["unanswered"] += reserved  # Redis may have counted the reservation
                await asyncio.sleep(0.1)
                continue
            self.sums["calls"] += 1
            self.sums["billed"] += billed
            cut_off = random.random() < 0.3
            self.sums["expected"] += reserved if cut_off else billed
            await asyncio.sleep(random.uniform(0, 0.6))
            if not cut_off:
                await self._books.settle(reservation, billed)


class PowerCut:
    """A power cut of a Valkey with `everysec`: it loses the last second of the append-only file."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        [self._file] = folder.glob("valkey/appendonlydir/*.incr.aof")
        self._sizes: list[tuple[float, int]] = []

    async def watch(self) -> None:
        """Record the size of the file until cancelled."""
        while True:
            self._sizes.append((time.monotonic(), self._file.stat().st_size))
            await asyncio.sleep(0.02)

    async def happen(self) -> int:
        """Kill the server, truncate its file and restart it; return the number of lost bytes."""
        await asyncio.to_thread(self._server.kill)
        before, now = self._file.stat().st_size, time.monotonic()
        left = max(size for at, size in self._sizes if at <= now - 1.0)
        os.truncate(self._file, left)
        self._sizes.clear()
        await asyncio.to_thread(self._server.restart)
        return before - left


async def test_the_ledger_is_never_below_the_bill_after_power_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "CONFIRM_S", 2.5)
    port = Ports(tmp_path).get("redis")
    server = stores.valkey(tmp_path, port)
    await asyncio.to_thread(server.start)
    redis = open_redis(f"redis://127.0.0.1:{port}")
    books, cut = ledger(RedisLine(redis)), PowerCut(server, tmp_path)
    spending, lost = Spending(books), []
    background = [asyncio.create_task(one) for one in (books.keep_confirmed(), cut.watch())]
    calls = [asyncio.create_task(spending.go_on()) for _ in range(40)]
    try:
        for _ in range(4):
            await asyncio.sleep(random.uniform(1.5, 3.0))
            lost.append(await cut.happen())
        await asyncio.sleep(1)
        spending.ended = True
        await asyncio.gather(*calls)
        await asyncio.sleep(budget.CONFIRM_S + 1)
        totals, sums = await books.spent(spending.payer), spending.sums
    finally:
        for task in (*calls, *background):
            task.cancel()
        await asyncio.gather(*calls, *background, return_exceptions=True)
        await redis.aclose()
        await asyncio.to_thread(server.process.stop)
    assert min(lost) > 0
    for total in totals.values():
        assert sums["billed"] < sums["expected"] <= total <= sums["expected"] + sums["unanswered"], (sums, totals)


# -- Redis loses writes that are not on its disk yet -------------------------------------------------------


async def test_a_call_lost_by_redis_is_settled_once(line: RedisLine) -> None:
    books = ledger(line)
    reservation = await books.reserve("call-1", payer(), 900)
    await line.redis.flushall()
    for _ in range(3):
        await books.settle(reservation, 250)
    assert await books.spent(payer()) == {"lp": 250, "day": 250, "month": 250}
    kept = [await line.redis.ttl(key) for key in reservation.keys]
    assert all(0 < found <= most for found, most in zip(kept, (*KEPT_S, CALL_S), strict=True))


async def test_a_reservation_repeated_after_settling_is_ignored(line: RedisLine) -> None:
    books = ledger(line)
    await books.settle(await books.reserve("call-1", payer(), 900), 250)
    await books.reserve("call-1", payer(), 900)
    assert await books.spent(payer()) == {"lp": 250, "day": 250, "month": 250}


async def test_a_settled_call_lost_by_redis_is_written_again(line: RedisLine) -> None:
    books = ledger(line)
    await books.settle(await books.reserve("call-1", payer(), 900), 250)
    for _ in range(3):  # the second write may be lost like the first
        await line.redis.flushall()
        await books.confirm(all_calls=True)
        assert await books.spent(payer()) == {"lp": 250, "day": 250, "month": 250}
    await books.confirm(all_calls=True)
    assert (await books.spent(payer()))["lp"] == 250


async def test_a_lost_settlement_replaces_the_remaining_reservation(line: RedisLine) -> None:
    books = ledger(line)
    reservation = await books.reserve("call-1", payer(), 900)
    before = {key: await line.redis.get(key) for key in reservation.keys}
    await books.settle(reservation, 250)
    await line.redis.mset(before)
    await books.confirm(all_calls=True)
    assert await books.spent(payer()) == {"lp": 250, "day": 250, "month": 250}


async def test_a_lost_unsettled_reservation_is_written_again(line: RedisLine) -> None:
    books = ledger(line)
    await books.reserve("call-1", payer(), 900)
    await line.redis.flushall()
    for _ in range(3):
        await books.confirm(all_calls=True)
    assert await books.spent(payer()) == {"lp": 900, "day": 900, "month": 900}


async def test_a_lost_call_is_written_to_the_day_it_started(line: RedisLine) -> None:
    times = iter([datetime(2026, 11, 30, 14, 59, tzinfo=UTC), datetime(2026, 11, 30, 15, 0, tzinfo=UTC)])
    books = Ledger(line, "Asia/Tokyo", lambda zone: next(times).astimezone(zone), lambda _: None)
    reservation = await books.reserve("call-1", payer(), 900)
    await line.redis.flushall()
    await books.settle(reservation, 250)
    assert await books.spent(payer()) == {"lp": 250, "day": 0, "month": 0}
    assert await line.redis.mget(reservation.keys[:3]) == [b"250"] * 3


async def test_a_call_is_confirmed_after_some_seconds_and_dropped(
    line: RedisLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(budget, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    books = ledger(line)
    await books.settle(await books.reserve("call-1", payer(), 900), 250)
    await line.redis.flushall()
    await books.confirm()
    assert (await books.spent(payer()))["lp"] == 0, "not yet"
    now += budget.CONFIRM_S
    await books.confirm()
    assert (await books.spent(payer()))["lp"] == 250
    now += budget.CONFIRM_S
    await books.confirm()
    assert not books._recent


async def test_a_settlement_without_redis_is_written_when_it_returns(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis = open_redis(url)
    await redis.flushall()
    books = ledger(RedisLine(redis))
    reservation = await books.reserve("call-1", payer(), 900)
    server.kill()
    try:
        await books.settle(reservation, 250)
        with pytest.raises(Retryable):
            await books.confirm(all_calls=True)
    finally:
        await asyncio.to_thread(server.restart)
    await asyncio.sleep(0.6)
    await books.confirm(all_calls=True)
    assert await books.spent(payer()) == {"lp": 250, "day": 250, "month": 250}
    await redis.aclose()


async def test_calls_over_the_memory_limit_are_dropped_with_a_warning(
    line: RedisLine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budget, "MOST_RECENT", 2)
    books = ledger(line)
    for number in range(3):
        await books.reserve(f"call-{number}", payer(), 100 + number)
    await line.redis.flushall()
    await books.confirm(all_calls=True)
    assert (await books.spent(payer()))["lp"] == 101 + 102
    assert "100 micro-yen of tenant t1" in caplog.text


async def test_caps_and_alerts_include_rewritten_calls(line: RedisLine) -> None:
    alerts: list[Alert] = []
    books, caps = ledger(line, alerts), Caps(10**6, 1_000, 10**9)
    await books.reserve("call-1", payer(caps=caps), 800)
    await line.redis.flushall()
    await books.confirm(all_calls=True)
    assert [(alert.scope, alert.percent) for alert in alerts] == [("day", 80)]
    with pytest.raises(CapReached):
        await books.reserve("call-2", payer(caps=caps), 300)


async def test_an_alert_that_redis_did_not_store_is_sent_later(
    line: RedisLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts: list[Alert] = []
    books, caps = ledger(line, alerts), Caps(10**6, 1_000, 10**9)
    first = await books.reserve("call-1", payer(caps=caps), 500)

    async def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(line.redis, "set", away)
        await books.settle(first, 500)
    assert not alerts
    await asyncio.sleep(0.6)
    await books.settle(await books.reserve("call-2", payer(caps=caps), 10), 10)
    assert [(alert.scope, alert.percent) for alert in alerts] == [("day", 50)]


def cost_of(request: str, amount: int, at: datetime = datetime(2026, 11, 24, 3, tzinfo=UTC)) -> Cost:
    return Cost("t1", request, at, amount)


async def test_an_empty_ledger_is_refilled_once_from_results(line: RedisLine) -> None:
    books = ledger(line)
    results = [cost_of("request-1", 700), cost_of("request-2", 50)]
    for _ in range(2):  # by one worker, and by another
        await books.refill(results)
    assert await books.spent(payer("request-1")) == {"lp": 700, "day": 750, "month": 750}


async def test_a_refill_adds_no_calls_that_the_ledger_has(line: RedisLine) -> None:
    books = ledger(line)
    await books.settle(await books.reserve("call-1", payer("request-1"), 300), 200)
    await books.refill([cost_of("request-1", 200)])
    assert (await books.spent(payer()))["month"] == 200, "the call was counted after the loss"
    await books.refill([cost_of("request-1", 250)])
    assert (await books.spent(payer()))["month"] == 250, "the request had a call before the loss too"


async def test_a_refill_counts_each_result_in_its_own_month(line: RedisLine) -> None:
    books = ledger(line)
    await books.refill([cost_of("request-1", 70, datetime(2026, 10, 31, 14, 59, tzinfo=UTC)), cost_of("request-2", 5)])
    assert (await books.spent(payer()))["month"] == 5
    october = ledger(line, now=datetime(2026, 10, 31, 3, tzinfo=UTC))
    assert (await october.spent(payer()))["day"] == 70


async def test_reservations_without_redis_fail_quickly(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis = open_redis(url)
    books = ledger(RedisLine(redis))
    server.kill()
    started = asyncio.get_running_loop().time()
    for number in range(50):
        with pytest.raises(Retryable):
            await books.reserve(f"call-{number}", payer(), 1)
    assert asyncio.get_running_loop().time() - started < 5, "the calls must not wait a second each"
    await asyncio.to_thread(server.restart)
    await asyncio.sleep(0.6)
    await books.reserve("call-x", payer(), 1)
    await redis.aclose()
