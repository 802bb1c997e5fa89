"""The stores, the clock and the report of a run through the tiers."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from infra.redis.line import SOCKET_S
from infra.tiers.hot import HotTables
from infra.tiers.ledger import Ledger
from infra.tiers.readers import readers_done
from infra.tiers.tables import HOT_TABLES
from infra.tiers.warm import WarmTables
from processors.heatmap.tiers import TierRule
from schemas.errors import Refused
from streams.runtime.settings import Settings
from streams.runtime.stores import open_archive, open_line, open_writer

# moving a day of a busy site takes long
ANSWER_TIMEOUT_S = 3_600.0
WAITING = "earlier queries are still running, or a replica lags"

Say = Callable[[str], None]


class Stores:
    """The open stores of a run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rule = TierRule(settings.tier_hot_days, settings.tier_warm_days, settings.tier_cold_days)
        self.clickhouse = open_writer(settings, answer_timeout_s=ANSWER_TIMEOUT_S)
        self.archive = open_archive(settings)
        self.redis: Redis = open_line(settings, socket_s=SOCKET_S).redis
        self.owner = uuid4().hex
        self.hot = HotTables(self.clickhouse)
        self.warm = WarmTables(self.clickhouse)
        self.ledger = Ledger(self.clickhouse, self.owner)

    async def catch_up(self) -> None:
        """Fetch rows and tables of other replicas, if this is a replica. Raise Retryable after a timeout."""
        if self.settings.clickhouse_replicated:
            for table in (*HOT_TABLES, "tier_objects", "erasures"):
                await self.clickhouse.command(f"SYSTEM SYNC REPLICA lpstream.{table}")
            await self.clickhouse.command("SYSTEM SYNC DATABASE REPLICA lpstream_warm")

    async def readers_done(self) -> bool:
        """Return whether all replicas know steps and tables, and earlier SELECTs end in time."""
        cluster, patience_s = self.settings.clickhouse_replicated, self.settings.tier_patience_s
        return await readers_done(self.clickhouse, patience_s, cluster=cluster)

    async def close(self) -> None:
        """Close all clients."""
        await self.redis.aclose()
        await self.clickhouse.close()


@dataclass(frozen=True, slots=True)
class Clock:
    """The fixed time of a run. All parts of the run use it."""

    now: datetime

    @classmethod
    def at(cls, today: date | None, now: datetime) -> "Clock":
        """Return a clock at `now`, or at the start of `today` (UTC) if given."""
        return cls(now if today is None else datetime(today.year, today.month, today.day, tzinfo=UTC))

    @property
    def today(self) -> date:
        """The date of the run in UTC."""
        return self.now.astimezone(UTC).date()

    @property
    def midnight_ms(self) -> int:
        """The start of today in ms UTC."""
        today = self.today
        return int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()) * 1000


@dataclass(slots=True)
class Report:
    """The result of a run: `done` by action, with rows and bytes; messages on waiting work and problems.

    `parts` has the seconds of each part, in order: look, erase, move, chill.
    """

    done: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the time of a part of the run."""
        started = time.monotonic()
        yield
        self.parts[name] = round(time.monotonic() - started, 3)

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Report a Refused of the block as a problem of the object `name`, so that the run goes on."""
        try:
            yield
        except Refused as error:
            self.problems.append(f"{name}: {error}")

    def note(self, what: str, source: str, day: date, rows: int, size: int) -> None:
        """Add an object, a group of partitions or a table to `done`, under the action `what`."""
        row = {"table": source, "day": day.isoformat(), "rows": rows, "bytes": size}
        self.done.setdefault(what, []).append(row)

    def plain(self) -> dict[str, Any]:
        """Return the report as a dict for JSON output."""
        return {
            "done": self.done,
            "waiting": self.waiting,
            "problems": self.problems,
            "seconds": self.seconds,
            "parts": self.parts,
        }
