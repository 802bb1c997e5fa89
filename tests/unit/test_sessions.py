"""The studio's sessions against whoever can read and write Redis."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from infra.redis.sessions import SESSION_S, Sessions, secret_of
from schemas.errors import Retryable

OPERATOR, ANALYST = "a" * 64, "b" * 64
KNOWN = [OPERATOR, ANALYST]


class FakeRedis:
    """What sessions use of Redis, and its line."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    async def set(self, key: str, value: str, ex: int) -> None:
        self.kept[key] = value.encode()

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    async def call(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        if self.away:
            raise Retryable("Redis: is away")
        return await work(self)


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


def sessions(redis: FakeRedis, secret: bytes = b"s" * 32, now: float = 1_000.0) -> Sessions:
    return Sessions(redis, secret, lambda: now)  # type: ignore[arg-type]


async def test_a_session_is_known_to_every_edge_with_the_secret(redis: FakeRedis) -> None:
    name = await sessions(redis).begin(OPERATOR)
    assert await sessions(redis).token_digest(name, KNOWN) == OPERATOR
    assert await sessions(redis, b"t" * 32).token_digest(name, KNOWN) is None
    assert await sessions(redis).token_digest(name, [ANALYST]) is None, "its token is no longer in the tenants file"
    await sessions(redis).end(name)
    assert await sessions(redis).token_digest(name, KNOWN) is None


async def test_redis_holds_neither_name_nor_token(redis: FakeRedis) -> None:
    name = await sessions(redis).begin(OPERATOR)
    told = str(redis.kept)
    assert name not in told and OPERATOR not in told


async def test_a_session_that_is_written_into_redis_is_none(redis: FakeRedis) -> None:
    mine = await sessions(redis).begin(ANALYST)
    (key,) = redis.kept
    for forged in (OPERATOR, f"9999999999:{OPERATOR}", "9999999999:", ":", "²:x", "9" * 5_000 + ":x", "\udcff"):
        redis.kept[key] = forged.encode(errors="surrogateescape")
        assert await sessions(redis).token_digest(mine, KNOWN) is None


async def test_a_session_of_another_is_not_taken_over(redis: FakeRedis) -> None:
    mine = await sessions(redis).begin(ANALYST)
    (my_key,) = redis.kept
    await sessions(redis).begin(OPERATOR)
    (theirs,) = redis.kept.keys() - {my_key}
    redis.kept[my_key] = redis.kept[theirs]
    assert await sessions(redis).token_digest(mine, KNOWN) is None


async def test_a_session_is_not_prolonged(redis: FakeRedis) -> None:
    name = await sessions(redis).begin(OPERATOR)
    later = 1_000.0 + SESSION_S + 1
    assert await sessions(redis, now=later).token_digest(name, KNOWN) is None
    (key,) = redis.kept
    signature = redis.kept[key].partition(b":")[2]
    redis.kept[key] = b"9999999999:" + signature
    assert await sessions(redis).token_digest(name, KNOWN) is None


async def test_a_session_that_was_seen_goes_on_while_redis_is_away(redis: FakeRedis) -> None:
    one = sessions(redis)
    name = await one.begin(OPERATOR)
    assert await one.token_digest(name, KNOWN) == OPERATOR
    redis.away = True
    assert await one.token_digest(name, KNOWN) == OPERATOR
    assert await one.token_digest(name, [ANALYST]) is None
    with pytest.raises(Retryable):
        await sessions(redis).token_digest(name, KNOWN)


def test_without_a_setting_the_secret_follows_from_the_tokens() -> None:
    assert secret_of("", KNOWN) == secret_of("", KNOWN[::-1]) != secret_of("", [OPERATOR])
    assert secret_of("x" * 32, KNOWN) == b"x" * 32


async def test_a_cookie_that_is_no_text_is_no_session(redis: FakeRedis) -> None:
    assert await sessions(redis).token_digest("\udcff\udcfe", KNOWN) is None
