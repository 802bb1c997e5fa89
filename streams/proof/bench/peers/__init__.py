"""Programs that do the heatmap worker's work in other ways: read, decode, fold, insert five tables, commit.

Each runs as a process of its own, is told by its environment what to do (Job), and writes FIRST to its output when it
has its first records in hand. None drops retried beacons, keeps dead letters or survives faults exactly: what they
leave out counts for them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

FIRST = "lpstream-bench: first record"
PREFIX = "LPSTREAM_BENCH_"


@dataclass(frozen=True, slots=True)
class Job:
    """Where a peer reads and writes. A bucket is one partition's records of 5 seconds, `bucket_records` at most."""

    kafka: str
    topic: str
    group: str
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str
    bucket_records: int

    def env(self) -> dict[str, str]:
        """As environment variables of the peer."""
        return {f"{PREFIX}{name.upper()}": str(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_env(cls) -> Self:
        """The inverse of `env`, in the peer."""
        values = {name: os.environ[f"{PREFIX}{name.upper()}"] for name in cls.__slots__}
        return cls(**values | {"bucket_records": int(values["bucket_records"])})  # type: ignore[arg-type]


class Peer(Protocol):
    """One way of doing the work."""

    name: str

    def prepare(self, cache: Path) -> list[str]:
        """Fetch and build what is missing below `cache`; the command line. LpstreamError says why it cannot run."""

    def version(self) -> str:
        """Its version, once prepared."""
