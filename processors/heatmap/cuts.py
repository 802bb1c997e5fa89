"""The rule that cuts a partition's log into buckets, a function of the log and its parameters.

A bucket is stored under a token that names its offsets, so a worker that stores it again must cut at the same offsets.
The parameters are in the metadata of each committed offset. A worker that starts with other parameters cuts the first
bucket after that offset with the old ones, because a part of that bucket may be stored already.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from schemas.errors import Refused
from schemas.heatmap import WINDOW_MS

# The buckets of a worker's partitions end at different times, in steps of the golden section. If all ended at once,
# the worker would store everything in one burst every 5 seconds.
PHASE_MS = round(WINDOW_MS * 0.618)
MARK = "lpstream"
# 1: a bucket begins with any record. 2: a bucket begins with a record that has a value; ticks before it are skipped.
RULE = 2
# Bounds the memory of a bucket: a byte of a hostile beacon becomes up to 24 bytes of sums. A smaller bound makes more
# buckets of a log of large beacons: with 2 MiB ClickHouse used twice the processor time (`lpstream bench`, drain_100).
MOST_BYTES = 8 * 2**20
# A bucket may have millions of rows. They are inserted into ClickHouse in parts, each with its own token.
PART_ROWS = 250_000
NO_LIMIT = 2**62
# values of parameters that commits of earlier releases do not name
EARLIER = {"most_bytes": NO_LIMIT, "part_rows": NO_LIMIT}


@dataclass(frozen=True, slots=True)
class Cut:
    """The rule's number and its parameters.

    Times are ms UTC. A bucket has at most `records` records and at most `most_bytes` bytes of values; a single record
    may have more. Its rows are stored in parts of about `part_rows`.
    """

    records: int
    window_ms: int = WINDOW_MS
    phase_ms: int = PHASE_MS
    rule: int = RULE
    most_bytes: int = MOST_BYTES
    part_rows: int = PART_ROWS

    @property
    def metadata(self) -> str:
        """The metadata text of a commit."""
        pairs = (f"{name}={value}" for name, value in asdict(self).items() if EARLIER.get(name) != value)
        return " ".join([MARK, *pairs])

    def parse(self, metadata: str) -> Self | None:
        """Return the cut of a commit's metadata, or None if lpstream did not write the commit.

        Commits of the first release have only the mark: their rule was 1, with this cut's other parameters. Raise
        Refused if a newer release wrote the commit.
        """
        mark, *pairs = metadata.split(" ")
        if mark != MARK:
            return None
        if not pairs:
            return replace(self, rule=1, **EARLIER)
        try:
            parameters = {name: int(value) for name, value in (pair.split("=") for pair in pairs)}
            cut = replace(self, **EARLIER | parameters)
        except (TypeError, ValueError):
            cut = replace(self, rule=RULE + 1)
        if not 1 <= cut.rule <= RULE or min(cut.records, cut.window_ms, cut.most_bytes, cut.part_rows) < 1:
            raise Refused(
                f"an offset was committed with a cut that this release does not know ({metadata!r}): run the release "
                "that committed it, stop it with SIGTERM, then start this release; or run `lpstream rebuild`"
            )
        return cut

    def bucket_of(self, timestamp_ms: int, partition: int) -> int:
        """Return the number of the partition's bucket that holds the time."""
        # Contract 3: a function of the log and of the parameters.
        return (timestamp_ms + self._shift_ms(partition)) // self.window_ms

    def end_ms(self, index: int, partition: int) -> int:
        """Return the exclusive end of the partition's bucket."""
        return (index + 1) * self.window_ms - self._shift_ms(partition)

    def _shift_ms(self, partition: int) -> int:
        return partition * self.phase_ms % self.window_ms

    def sliced(self) -> bool:
        """Return whether a slice, made with this release's windows, never crosses a bucket's end."""
        return (self.window_ms, self.phase_ms) == (WINDOW_MS, PHASE_MS)

    def passed(self, records: Sequence[Any]) -> int:
        """Return the number of leading records that do not begin a bucket."""
        if self.rule == 1:
            return 0
        # Contract 4: ticks alone begin no bucket.
        return next((at for at, record in enumerate(records) if record.value), len(records))


# The cut of slices, which use only the windows and not `records`.
SLICES = Cut(records=1)
