"""The studio's sessions against an attacker who can read and write Redis."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from infra.redis.sessions import SESSION_S, Sessions, secret_of
from schemas.errors import Retryable

OPERATOR, ANALYST = "a" * 64, "b" * 64
KNOWN = [OPERATOR, ANALYST]


class FakeRedis:
    """A fake Redis with the calls that sessions use."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.away = False

    async def set(self, key: str, value: str, ex: int) -> None:
        self.values[key] = value.encode()

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)

    async def call(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        if self.away:
            raise Retryable("Redis: is away")
        return await work(self)


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


def sessions(redis: FakeRedis, secret: bytes = b"s" * 32, now: float = 1_000.0) -> Sessions:
    return Sessions(redis, secret, lambda: now)  # type: ignore[arg-type]


async def test_a_session_is_valid_on_every_edge_with_the_secret(redis: FakeRedis) -> None:
    name = await sessions(redis).begin(OPERATOR)
    assert await sessions(redis).token_digest(name, KNOWN) == OPERATOR
    assert await sessions(redis, b"t" * 32).token_digest(name, KNOWN) is None
    assert await sessions(redis).token_digest(name, [ANALYST]) is None, "its token is no longer in the tenants file"
    await sessions(redis).end(name)
    assert await sessions(redis).token_digest(name, KNOWN) is None


async def test_redis_contains_neither_session_name_nor_token(redis: FakeRedis) -> None:
    name = await sessions(redis).begin(OPERATOR)
    content = str(redis.values)
    assert name not in content and OPERATOR not in content


async def test_a_session_forged_in_redis_is_invalid(redis: FakeRedis) -> None:
    mine = await sessions(redis).begin(ANALYST)
    (key,) = redis.values
    for forged in (OPERATOR, f"9999999999:{OPERATOR}", "9999999999:", ":", "²:x", "9" * 5_000 + ":x", "\udcff"):
        redis.values[key] = forged.encode(errors="surrogateescape")
        assert await sessions(redis).token_digest(mine, KNOWN) is None


async def test_a_copied_session_of_another_caller_is_invalid(redis: FakeRedis) -> None:
    mine = await sessions(redis).begin(ANALYST)
    (my_key,) = redis.values
    await sessions(redis).begin(OPERATOR)
    (theirs,) = redis.values.keys() - {my_key}
    redis.values[my_key] = redis.values[theirs]
    assert await sessions(redis).token_digest(mine, KNOWN) is None


async def test_a_session_cannot_be_prolonged(redis: FakeRedis) -> None:
    name = await sessions(redis).begin(OPERATOR)
    later = 1_000.0 + SESSION_S + 1
    assert await sessions(redis, now=later).token_digest(name, KNOWN) is None
    (key,) = redis.values
    signature = redis.values[key].partition(b":")[2]
    redis.values[key] = b"9999999999:" + signature
    assert await sessions(redis).token_digest(name, KNOWN) is None


async def test_a_known_session_stays_valid_while_redis_is_down(redis: FakeRedis) -> None:
    one = sessions(redis)
    name = await one.begin(OPERATOR)
    assert await one.token_digest(name, KNOWN) == OPERATOR
    redis.away = True
    assert await one.token_digest(name, KNOWN) == OPERATOR
    assert await one.token_digest(name, [ANALYST]) is None
    with pytest.raises(Retryable):
        await sessions(redis).token_digest(name, KNOWN)


def test_the_default_secret_is_derived_from_the_tokens() -> None:
    assert secret_of("", KNOWN) == secret_of("", KNOWN[::-1]) != secret_of("", [OPERATOR])
    assert secret_of("x" * 32, KNOWN) == b"x" * 32


async def test_a_cookie_that_is_not_utf8_is_no_session(redis: FakeRedis) -> None:
    assert await sessions(redis).token_digest("\udcff\udcfe", KNOWN) is None


def test_a_form_belongs_to_the_holder_of_a_token_for_two_days(redis: FakeRedis) -> None:
    one, day_s = sessions(redis), 86_400
    today, yesterday = one.form_tokens(OPERATOR)
    assert sessions(redis, now=1_000.0 + day_s).form_tokens(OPERATOR)[1] == today != yesterday
    later = sessions(redis, now=1_000.0 + 2 * day_s).form_tokens(OPERATOR)
    others = one.form_tokens(ANALYST), sessions(redis, b"t" * 32).form_tokens(OPERATOR), later
    assert all(today not in each for each in others)
    assert OPERATOR not in today and len(today) == 32
