"""The schedule of `tier` in the heatmap workers: each worker checks, one of them runs."""

import asyncio
import gc
import logging
from datetime import UTC, datetime
from typing import Any

from mode import Service
from redis.exceptions import RedisError

from processors.heatmap.tiers import days_behind, overdue_age
from schemas.errors import LpstreamError, Retryable
from streams.runtime import metrics
from streams.runtime.settings import Settings
from streams.tiers.expiry import expire
from streams.tiers.run import Tiers, by_tier
from streams.tiers.stores import Clock, Report, Stores

log = logging.getLogger(__name__)

LAST_RUN = "lpstream:tier:last-run"  # the number of problems that the last run found; it expires with the interval
FIRST_AFTER_S, POLL_S = 20.0, 60.0


class TierSchedule(Service):  # type: ignore[misc]  # mypy does not follow mode
    """A service that checks the tiers every minute, and runs `tier` if no run was within the interval."""

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings

    @Service.task  # type: ignore[untyped-decorator]
    async def _look(self) -> None:
        await self.sleep(FIRST_AFTER_S)
        # opened once: a boto3 client is 24 MB of cycles, which this process's garbage collector frees late
        stores = Stores(self._settings)
        try:
            while not self.should_stop:
                try:
                    await self._once(stores, Clock(datetime.now(UTC)))
                except LpstreamError as error:
                    log.warning("tiers: %s", error)
                await self.sleep(min(POLL_S, self._settings.tier_interval_s or POLL_S))
        finally:
            await stores.close()

    async def _once(self, stores: Stores, clock: Clock) -> None:
        try:
            await expire(self._settings, stores.redis, stores.archive, clock.now)
        except LpstreamError as error:
            log.warning("expiry: %s", error)
        problems = await _problems_of_last_run(stores)
        if problems is not None:
            metrics.TIER_PROBLEMS.set(problems)
        elif self._settings.tier_interval_s and (report := await self._run(clock)) is not None:
            tell(report)
            await _note_run(stores, report, self._settings.tier_interval_s)
        await observe(stores, clock)

    async def _run(self, clock: Clock) -> Report | None:
        try:
            return await Tiers(self._settings, clock, log.info).run()
        except LpstreamError:
            metrics.TIER_RUNS.labels("failed").inc()
            raise
        finally:
            gc.collect()  # frees the clients of the run


async def observe(stores: Stores, clock: Clock) -> None:
    """Update the gauges of the tiers."""
    partitions, objects = await asyncio.gather(stores.hot.partitions(), stores.ledger.objects())
    metrics.TIER_BEHIND.set(days_behind(partitions, stores.rule, clock.today))
    metrics.TIER_OVERDUE_AGE.set(overdue_age(partitions, stores.rule, clock.today))
    metrics.TIER_BYTES.labels("hot").set(sum(part.bytes for part in partitions))
    metrics.TIER_ROWS.labels("hot").set(sum(part.rows for part in partitions))
    for tier, of_tier in by_tier(objects):
        metrics.TIER_BYTES.labels(tier).set(sum(entry.bytes for entry in of_tier))
        metrics.TIER_ROWS.labels(tier).set(sum(entry.fingerprint.rows for entry in of_tier))


def tell(report: Report) -> None:
    """Log and count a run."""
    outcome = "problems" if report.problems else "waiting" if report.waiting else "done"
    metrics.TIER_RUNS.labels(outcome).inc()
    metrics.TIER_PROBLEMS.set(len(report.problems))
    for line in report.problems:
        log.error("tiers: %s", line)
    for line in report.waiting:
        log.info("tiers: %s", line)
    for what, rows in report.done.items():
        metrics.TIER_OBJECTS.labels(what).inc(len(rows))
        log.info("tiers: %s %d, %d bytes", what, len(rows), sum(row["bytes"] for row in rows))


async def _problems_of_last_run(stores: Stores) -> int | None:
    """Return the number of problems, or None if no worker has run within the interval."""
    try:
        stored = await stores.redis.get(LAST_RUN)
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis: {type(error).__name__}") from error
    return None if stored is None else int(stored)


async def _note_run(stores: Stores, report: Report, interval_s: float) -> None:
    try:
        await stores.redis.set(LAST_RUN, len(report.problems), px=round(interval_s * 1000))
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis: {type(error).__name__}") from error
