"""Old objects of the bucket that can be made again are deleted once a day."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.errors import Refused, Retryable
from streams.runtime.settings import Settings
from streams.tiers.expiry import ages, expire

NOW = datetime(2027, 3, 1, tzinfo=UTC)


class Redis:
    """Keys in memory. It stands for Redis."""

    def __init__(self) -> None:
        self.ends_s: dict[str, int] = {}

    async def set(self, name: str, value: str, *, nx: bool, ex: int) -> bool | None:
        if nx and name in self.ends_s:
            return None
        self.ends_s[name] = ex
        return True

    async def delete(self, name: str) -> None:
        del self.ends_s[name]


class Bucket:
    """Records calls. It stands for the page store."""

    def __init__(self) -> None:
        self.ages_s: dict[str, float] = {}

    async def delete_older(self, prefix: str, before: datetime) -> int:
        self.ages_s[prefix] = (NOW - before).total_seconds()
        return 1


async def test_copy_and_screenshots_are_deleted_after_their_age() -> None:
    bucket: Any = Bucket()
    redis: Any = Redis()
    settings = Settings(copy_fresh_s=86_400, copy_stale_s=9 * 86_400)
    await expire(settings, redis, bucket, NOW)
    assert bucket.ages_s == ages(settings) == {"copy/": 10 * 86_400, "shots/": 30 * 86_400}


async def test_one_process_deletes_once_a_day() -> None:
    redis: Any = Redis()
    first, second = Bucket(), Bucket()
    for bucket in (first, second):
        await expire(Settings(), redis, bucket, NOW)  # type: ignore[arg-type]
    assert first.ages_s and not second.ages_s
    assert list(redis.ends_s.values()) == [86_400]


async def test_after_a_failure_the_next_look_deletes() -> None:
    class Away(Bucket):
        async def delete_older(self, prefix: str, before: datetime) -> int:
            raise Retryable("S3 is away")

    redis: Any = Redis()
    away: Any = Away()
    bucket: Any = Bucket()
    with pytest.raises(Retryable, match="S3 is away"):
        await expire(Settings(), redis, away, NOW)
    await expire(Settings(), redis, bucket, NOW)
    assert bucket.ages_s


async def test_a_refused_prefix_stops_no_other_and_waits_a_day() -> None:
    class Denied(Bucket):
        async def delete_older(self, prefix: str, before: datetime) -> int:
            if prefix == "copy/":
                raise Refused("S3 refuses to delete")
            return await super().delete_older(prefix, before)

    redis: Any = Redis()
    bucket: Any = Denied()
    with pytest.raises(Refused, match="refuses to delete"):
        await expire(Settings(), redis, bucket, NOW)
    assert list(bucket.ages_s) == ["shots/"]
    bucket.ages_s.clear()
    await expire(Settings(), redis, bucket, NOW)
    assert not bucket.ages_s
