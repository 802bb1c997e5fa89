"""Where a partition's log is cut into buckets: a function of the log and of the parameters of the cut.

A bucket is stored under a token that names its offsets. So whoever stores it again must cut at the same places. The
parameters travel in the metadata of each committed offset; a worker that starts under other parameters cuts the first
bucket behind that offset by the old ones, because a part of that bucket may be stored already.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from schemas.errors import Refused

WINDOW_MS = 5_000
# Buckets of a worker's partitions end one after another, in steps of the golden section. If all ended at once, the
# worker would store everything in one burst every 5 seconds.
PHASE_MS = round(WINDOW_MS * 0.618)
MARK = "lpstream"
# 1: a bucket begins with any record. 2: a bucket begins with a record that has a value; ticks before it are passed.
RULE = 2
# The bytes bound the memory of a bucket: a byte of a hostile beacon becomes up to 24 bytes of sums.
MOST_BYTES = 2 * 2**20
# A bucket may make millions of rows. They go to ClickHouse in parts, each under a token of its own.
PART_ROWS = 250_000
NO_LIMIT = 2**62
# what commits of earlier releases do not name
EARLIER = {"most_bytes": NO_LIMIT, "part_rows": NO_LIMIT}


@dataclass(frozen=True, slots=True)
class Cut:
    """The rule and its parameters.

    Times are ms UTC. A bucket has at most `records` records and, unless it has one alone, `most_bytes` bytes of values.
    Its rows are stored in parts of about `part_rows`.
    """

    records: int
    window_ms: int = WINDOW_MS
    phase_ms: int = PHASE_MS
    rule: int = RULE
    most_bytes: int = MOST_BYTES
    part_rows: int = PART_ROWS

    @property
    def metadata(self) -> str:
        """Return the text that a commit carries."""
        pairs = (f"{name}={value}" for name, value in asdict(self).items() if EARLIER.get(name) != value)
        return " ".join([MARK, *pairs])

    def parse(self, metadata: str) -> Self | None:
        """Return the cut of a commit's metadata, None when the commit is not ours.

        Commits of the first release carry the mark alone: their rule was 1 with our other parameters. Refused when a
        newer release has made the commit.
        """
        mark, *pairs = metadata.split(" ")
        if mark != MARK:
            return None
        if not pairs:
            return replace(self, rule=1, **EARLIER)
        try:
            found = {name: int(value) for name, value in (pair.split("=") for pair in pairs)}
            cut = replace(self, **EARLIER | found)
        except (TypeError, ValueError):
            cut = replace(self, rule=RULE + 1)
        if not 1 <= cut.rule <= RULE or min(cut.records, cut.window_ms, cut.most_bytes, cut.part_rows) < 1:
            raise Refused(
                f"an offset was committed under a cut that this release does not know ({metadata!r}): run the release "
                "that committed it, stop it with SIGTERM, then start this one; or run `lpstream rebuild`"
            )
        return cut

    def bucket_of(self, timestamp_ms: int, partition: int) -> int:
        """Return the number of the partition's bucket that holds the time."""
        return (timestamp_ms + self._shift_ms(partition)) // self.window_ms

    def end_ms(self, index: int, partition: int) -> int:
        """Return the first time that is no longer in the partition's bucket."""
        return (index + 1) * self.window_ms - self._shift_ms(partition)

    def _shift_ms(self, partition: int) -> int:
        return partition * self.phase_ms % self.window_ms

    def sliced(self) -> bool:
        """Return whether slices, which follow this release's windows, are whole under this cut."""
        return (self.window_ms, self.phase_ms) == (WINDOW_MS, PHASE_MS)

    def passed(self, records: Sequence[Any]) -> int:
        """Return how many leading records begin no bucket."""
        if self.rule == 1:
            return 0
        return next((at for at, record in enumerate(records) if record.value), len(records))


# What slices follow. The most records of a bucket play no part in them.
SLICES = Cut(records=1)
