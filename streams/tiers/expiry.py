"""The deletion of old objects that can be made again.

They are cached copy, which no reader uses at that age, and screenshots.
"""

import contextlib
import logging
from datetime import datetime, timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.s3.objects import Objects
from schemas.errors import Refused, Retryable
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

COPY, SHOTS = "copy/", "shots/"
DAY_S, SHOTS_S = 86_400, 30 * 86_400
DONE = "lpstream:expiry:done"


def ages(settings: Settings) -> dict[str, int]:
    """Return the age in seconds after which objects are deleted, by prefix."""
    return {COPY: settings.copy_fresh_s + settings.copy_stale_s, SHOTS: SHOTS_S}


async def expire(settings: Settings, redis: Redis, objects: Objects, now: datetime) -> None:
    """Delete old objects, unless a process of the installation began to do so within the last day.

    Raise Retryable or Refused after the other deletions, if Redis or S3 fails. After Retryable the next call tries
    again.
    """
    try:
        if not await redis.set(DONE, "1", nx=True, ex=DAY_S):
            return
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis: {type(error).__name__}") from error
    failed: list[Retryable | Refused] = []
    for prefix, age_s in ages(settings).items():
        try:
            count = await objects.delete_older(prefix, now - timedelta(seconds=age_s))
            log.info("%s: %d objects older than %d days deleted", prefix, count, age_s // DAY_S)
        except (Retryable, Refused) as error:
            failed.append(error)
    if any(isinstance(error, Retryable) for error in failed):
        with contextlib.suppress(RedisError, OSError):
            await redis.delete(DONE)
    if failed:
        raise failed[0]
