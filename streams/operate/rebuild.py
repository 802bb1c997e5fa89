"""The rebuild of the heatmap tables from the log, beside running workers.

1. Create empty tables beside the live tables.
2. Read the log in bulk passes up to the offsets that the workers have committed, with few large inserts. The workers
   continue meanwhile, so repeat the pass until it takes only seconds.
3. Copy days from the old tables if the log no longer has all of their records. Leave out days that are on S3. Delete
   the pages that `lpstream erase` has erased from the new tables. Wait until every replica has the new tables' rows.
4. Exchange the tables.
5. Insert the records that the workers have committed since the last pass. A bucket that a worker stored during the
   exchange may be in the old tables, in the new ones, or half in each. The rebuild inserts these buckets with the
   workers' cut and token, and the new tables drop the inserts that they have. Each partition has one such bucket, and
   in addition the buckets that the workers committed during the exchange.

If the offsets were not committed by workers and no worker runs, step 2 reads to the end of the log and there is no
step 5. Then the group is marked as unfinished before the exchange, so that no worker starts, and set to that end
afterwards.

A rebuild that is interrupted before step 4 has changed nothing. After an interruption at step 4 or later, run it again.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from infra.clickhouse.client import ClickHouse
from infra.redis.lease import Lease
from processors.heatmap.cuts import Cut
from schemas.errors import LpstreamError, Refused, Retryable
from schemas.heatmap import GROUP, TOPIC
from streams.heatmap.rewound import UNFINISHED
from streams.operate.bulk import Bulk
from streams.operate.follower import Follow
from streams.operate.marks import Marks, commit_for_group, read_marks
from streams.operate.rebuild_tables import LIVE, WINDOW, Aside, NewTables
from streams.operate.replay import Log, patiently
from streams.runtime.settings import Settings
from streams.runtime.stores import open_writers
from streams.tiers.run import no_moves

TIER_WAIT_S = 600.0
# inserts of a bulk pass are large
ANSWER_S = 300.0
# The exchange waits for a pass that is as short as this. After it, readers miss the records of one such pass.
SHORT_PASS_S = 10.0
MOST_PASSES = 20
AGAIN = "the tables are exchanged, but may miss records or count some twice: run `lpstream rebuild` again"

Say = Callable[[str], None]
OnProgress = Callable[[int, int], None]


@dataclass(slots=True)
class Figures:
    """The result of a rebuild. `records` counts offsets, `undecodable` counts skipped records."""

    records: int = 0
    undecodable: int = 0
    days_kept: int = 0
    passes: int = 0
    seconds: float = 0.0
    records_per_second: int = 0


class Rebuild:
    """A run of the rebuild. `on_progress` gets the number of records read and the number to read."""

    def __init__(self, settings: Settings, say: Say, on_progress: OnProgress) -> None:
        self._settings = settings
        self._say = say
        self._on_progress = on_progress

    async def run(self) -> dict[str, Any]:
        """Do all steps and return their figures.

        Raise Refused if the log covers no whole day, the workers stay ahead, or their offsets were moved.
        """
        started = time.monotonic()
        async with no_moves(self._settings, TIER_WAIT_S) as held:
            writers = open_writers(self._settings, limited=False)
            log = await Log.open(self._settings.kafka_bootstrap_servers, writers)
            clients = [self._clickhouse(kind) for kind in (ClickHouse, Aside, ClickHouse)]
            try:
                figures = await _Run(self._settings, self._say, self._on_progress, log, clients, held).all()
            except KafkaError as error:
                raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
            finally:
                await log.consumer.stop()
                await writers.aclose()
                for client in clients:
                    await client.close()
        figures.seconds = round(time.monotonic() - started, 1)
        figures.records_per_second = round(figures.records / max(figures.seconds, 0.1))
        return asdict(figures)

    def _clickhouse(self, kind: type[ClickHouse]) -> ClickHouse:
        settings = self._settings
        password = settings.clickhouse_password.get_secret_value()
        url, user = settings.clickhouse_url, settings.clickhouse_user
        return kind.open(url, user, password, LIVE, answer_timeout_s=ANSWER_S, ca_file=settings.ca_file)


class _Run:
    """The steps of a run, with open clients for DDL, for the new tables and for the live tables."""

    def __init__(
        self, settings: Settings, say: Say, on_progress: OnProgress, log: Log, clients: list[ClickHouse], held: Lease
    ) -> None:
        admin, aside, self._live = clients
        self._settings = settings
        self._say = say
        self._on_progress = on_progress
        self._log = log
        self._held = held
        self._tables = NewTables(admin, cluster=settings.clickhouse_replicated)
        self._bulk = Bulk(aside, self._report_progress)
        self._figures = Figures()
        self._until: dict[TopicPartition, int] = {}

    async def all(self) -> Figures:
        await self._tables.create()
        await self._catch_up()
        self._figures.days_kept = await self._older_days()
        marks = await self._pass()
        await self._tables.erase()
        await self._tables.complete()
        await self._held.check()
        if marks.strange:
            await self._exchange_alone()
        else:
            await self._exchange_beside_workers()
        await self._tables.finish()
        log, figures = self._log, self._figures
        figures.records = sum(self._until[place] - begin for place, begin in log.begins.items())
        figures.undecodable = self._bulk.rejected
        return figures

    # -- bulk passes -----------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        for _ in range(MOST_PASSES):
            started = time.monotonic()
            await self._pass()
            took = time.monotonic() - started
            if took < SHORT_PASS_S:
                return
            self._say(f"pass {self._figures.passes} took {took:.0f} s; reading the records counted meanwhile")
        raise Refused(
            f"the workers count as fast as the rebuild reads: pass {MOST_PASSES} still took {took:.0f} s; nothing was "
            "changed; run `lpstream rebuild` when they have caught up with the log, or when there is less traffic"
        )

    async def _pass(self) -> Marks:
        """Read up to the workers' offsets, or to the log's end if these were moved. Return the marks."""
        marks = await self._marks()
        ends = await self._log.ends() if marks.strange else {}
        self._until = ends or {place: mark.offset for place, mark in marks.by_place.items()}
        await self._bulk.read(self._log, self._until, marks.by_place)
        self._figures.passes += 1
        return marks

    async def _marks(self) -> Marks:
        marks = await read_marks(self._settings, self._log.begins, self._log.consumer)
        if marks.strange and marks.members:
            raise Refused(
                f"offsets of group {GROUP} were moved by hand while it has members (partitions "
                f"{sorted(place.partition for place in marks.strange)} of {TOPIC}): stop the heatmap workers, then run "
                "`lpstream rebuild` again"
            )
        positions = self._log.positions
        if not marks.strange and any(mark.offset < positions[place] for place, mark in marks.by_place.items()):
            raise Refused(
                f"group {GROUP} has gone back in {TOPIC}, or a worker was started that has no offsets yet; nothing was "
                "changed; run `lpstream rebuild` again"
            )
        return marks

    def _report_progress(self) -> None:
        total = sum(end - self._log.begins[place] for place, end in self._until.items())
        self._on_progress(total - self._log.left(self._until), total)

    # -- days that the log does not cover --------------------------------------------------------------

    async def _older_days(self) -> int:
        marks = await self._marks()
        covered = await self._tables.first_whole_day(self._log)
        if covered > datetime.now(UTC).date():
            # A day that still gets events cannot be copied without losing some.
            raise Refused(
                f"the log of {TOPIC} covers no whole day before {covered} (UTC), so there is nothing to rebuild from; "
                "run `lpstream rebuild` on that day or later"
            )
        if covered > date.min and not marks.strange:
            await self._wait_past(covered)
        return await self._tables.keep_older_days(covered)

    async def _wait_past(self, covered: date) -> None:
        """Wait until the workers have counted all records of the days that the rebuild copies."""
        first_ms = datetime.combine(covered, datetime.min.time(), UTC).timestamp() * 1000
        for _ in range(MOST_PASSES):
            ends = await self._log.ends()
            if all(
                position >= ends[place] or self._log.last_ms.get(place, 0) >= first_ms
                for place, position in self._log.positions.items()
            ):
                return
            self._say(f"waiting for the workers to count all records from before {covered} (UTC)")
            await self._pass()
        raise Refused(
            f"the workers have not counted all records from before {covered} (UTC), and the log of {TOPIC} no longer "
            "covers these days; nothing was changed; run `lpstream rebuild` when the workers have caught up"
        )

    # -- the exchange ----------------------------------------------------------------------------------

    async def _exchange_alone(self) -> None:
        """Exchange while no worker can start, then set the group to the end of the read log."""
        servers, positions = self._settings.kafka_bootstrap_servers, self._log.positions
        await commit_for_group(servers, positions, UNFINISHED)
        try:
            await self._tables.exchange()
            await commit_for_group(servers, positions, Cut(self._settings.heatmap_bucket_records).metadata)
        except LpstreamError as error:
            raise LpstreamError(f"{error}; {AGAIN}") from error

    async def _exchange_beside_workers(self) -> None:
        before = await self._marks()
        if before.strange:
            raise Refused(f"the offsets of group {GROUP} were moved by hand meanwhile; run `lpstream rebuild` again")
        try:
            await self._tables.exchange()
            after, ends = await patiently("kafka", self._marks_after), await patiently("kafka", self._log.ends)
            blocks = await self._tables.blocks()
            self._say("tables exchanged; inserting the records that the workers have counted since the last pass")
            self._bulk.clickhouse = self._live
            self._until = {place: mark.offset for place, mark in before.by_place.items()}
            await self._bulk.read(self._log, self._until, before.by_place)
            follow = Follow(self._settings, self._live, self._log, self._bulk.identities, before)
            await follow.run(after, ends, self._marks_after, self._say)
            await self._check_window(blocks)
        except LpstreamError as error:
            raise LpstreamError(f"{error}; {AGAIN}") from error

    async def _marks_after(self) -> Marks:
        marks = await read_marks(self._settings, self._log.begins, self._log.consumer)
        if marks.strange:
            raise Refused(f"the offsets of group {GROUP} were moved by hand meanwhile")
        return marks

    async def _check_window(self, before: dict[str, int]) -> None:
        after = await self._tables.blocks()
        most = max((number - before.get(table, 0) for table, number in after.items()), default=0)
        if most >= WINDOW:
            raise LpstreamError(
                f"{most} inserts came while the rebuild followed the workers, but the tables recognise a repeated "
                f"insert only among the last {WINDOW}"
            )
