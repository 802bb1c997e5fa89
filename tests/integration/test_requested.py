"""The studio's list of requests in Redis, which holds customers' names for 30 days."""

from infra.redis.line import RedisLine
from infra.redis.requested import KEEP_S, Asked

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


def names(entries: list[dict[str, str | int]]) -> list[str | int]:
    return [entry["name"] for entry in entries]


async def test_a_request_leaves_the_list_after_30_days_despite_later_ones(line: RedisLine) -> None:
    asked = Asked(line, lambda: NOW_MS / 1000)
    for days in (61, 31, 30, 2):
        await asked.note("acme", f"id-{days}", f"of {days} days ago", NOW_MS - days * DAY_MS)
    assert await line.redis.llen("lp:requested:acme") == 3, "a new request removes what is 30 days older than itself"
    assert names(await asked.of("acme")) == ["of 2 days ago", "of 30 days ago"]
    assert await line.redis.llen("lp:requested:acme") == 2
    assert 0 < await line.redis.ttl("lp:requested:acme") <= KEEP_S


async def test_a_list_without_new_requests_is_read_without_old_ones(line: RedisLine) -> None:
    await Asked(line).note("acme", "id", "name", 1)
    assert await Asked(line, lambda: KEEP_S + 1).of("acme") == []
    assert not await line.redis.exists("lp:requested:acme")
    await Asked(line).note("acme", "id", "name", 1)
    assert names(await Asked(line, lambda: KEEP_S).of("acme")) == ["name"]
