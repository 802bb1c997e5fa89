"""Other implementations of the heatmap worker's job: read, decode, fold, insert five tables, commit.

Each peer is a process. It gets its Job from environment variables and prints FIRST when it has its first records. No
peer drops retried beacons, stores dead letters or is exact under faults. So each does less work than our worker, which
favours the peers.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from schemas.errors import LpstreamError

FIRST = "lpstream-bench: first record"
PREFIX = "LPSTREAM_BENCH_"


@dataclass(frozen=True, slots=True)
class Job:
    """The addresses that a peer reads and writes.

    A bucket has a partition's records of 5 seconds, at most `bucket_records`.
    """

    kafka: str
    topic: str
    group: str
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str
    bucket_records: int

    def env(self) -> dict[str, str]:
        """Return the job as environment variables of the peer."""
        return {f"{PREFIX}{name.upper()}": str(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_env(cls) -> Self:
        """Read the job from the environment, in the peer."""
        values = {name: os.environ[f"{PREFIX}{name.upper()}"] for name in cls.__slots__}
        return cls(**values | {"bucket_records": int(values["bucket_records"])})  # type: ignore[arg-type]


class Peer(Protocol):
    """An implementation of the heatmap worker's job."""

    name: str

    def prepare(self, cache: Path) -> list[str]:
        """Fetch and build missing parts below `cache`; return the command line.

        Raise LpstreamError with the reason if the peer cannot run.
        """

    def version(self) -> str:
        """Return its version; call `prepare` first."""


def run(command: list[str], within_s: float) -> None:
    """Run a command. Raise LpstreamError with the last lines of its output if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=within_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LpstreamError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        text = (done.stdout + done.stderr).decode(errors="replace").splitlines()[-5:]
        raise LpstreamError(f"{command[0]} ended with code {done.returncode}: {' / '.join(text)}")
