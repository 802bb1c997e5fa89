"""Start and stop the load drivers, and merge their notes.

The drivers are not imported here, because Locust's gevent would patch the sockets of this process.
"""

import importlib.util
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from infra.embedded.process import ChildProcess
from schemas.errors import LpstreamError
from schemas.heatmap import KIND_BY_LETTER

READY_WITHIN_S, POLL_S = 240.0, 0.1
END_WITHIN_S = 30.0
A_DRIVER, A_LOCUST_DRIVER = 10_000, 1_000  # most connections of a driver before a second driver starts
PROCESSORS = 2  # most drivers for visitors

Floats = npt.NDArray[np.float64]
Times = TypeVar("Times")


@dataclass(frozen=True, slots=True)
class Part:
    """The share of the load that one driver carries. `number` identifies the driver.

    `per_minute` is the number of LPs that it requests. The same `seed` gives the same visits and requests. `run` makes
    the ids of requests unique, because repeated ids count as retries. `by_locust`: Locust drives the visitors.
    """

    edge: str
    api: str
    token: str
    tenant: str
    lp_ids: list[str]
    connections: int
    ramp_s: float
    seconds: float
    per_minute: float
    number: int
    seed: int
    run: int
    folder: str
    drain_s: float
    by_locust: bool


def _lists() -> Any:
    return defaultdict(list)


@dataclass(slots=True)
class Notes(Generic[Times]):
    """The notes of a driver, or the merged notes of all drivers, by kind of request.

    The kinds are page, beacon, ask, status and progress. Times are in seconds after the start, or in ms where the name
    says so. Events are by page and kind: a driver uses the kinds' letters, the merged notes their full names.
    """

    at: dict[str, Times] = field(default_factory=_lists)
    ms: dict[str, Times] = field(default_factory=_lists)
    errors: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    error_at: list[float] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    unresolved: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lps: list[dict[str, Any]] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    seconds: float = 0.0


Seen = Notes[Floats]


class Fleet:
    """The processes that produce the load."""

    def __init__(self, part: Part, folder: Path) -> None:
        """Split the load `part` between drivers, and create `folder` for their files.

        Raise LpstreamError if Locust is asked for and not installed.
        """
        if part.by_locust and importlib.util.find_spec("locust") is None:
            raise LpstreamError("Locust is not installed: pip install 'lpstream[verify]', or give --no-locust")
        folder.mkdir(parents=True)
        self._folder = folder
        self._parts = split(part, folder)
        self._children = [self._child(part) for part in self._parts]

    def _child(self, part: Part) -> ChildProcess:
        part_file = self._folder / f"{part.number}.part.json"
        part_file.touch(0o600)
        part_file.write_text(json.dumps(asdict(part)), encoding="utf-8")
        module = f"streams.proof.verify.{'locust_driver' if part.by_locust else 'driver'}"
        args = [sys.executable, "-m", module, str(part_file)]
        return ChildProcess(f"driver-{part.number}", args, log=self._folder / f"{part.number}.log")

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each driver, by its name."""
        return {child.name: child.pid for child in self._children}

    def start(self) -> None:
        """Start all drivers. They wait for `go`."""
        for child in self._children:
            child.start()

    def ready(self) -> bool:
        """Return whether all drivers are ready for `go`. Raise LpstreamError if a driver has ended."""
        for child in self._children:
            if not child.alive:
                raise LpstreamError(child.obituary())
        return all((self._folder / f"{part.number}.ready").exists() for part in self._parts)

    def go(self) -> None:
        """Start the measurement."""
        (self._folder / "go").touch()

    def stop(self) -> None:
        """Let the drivers begin no more visits and requests. They finish open requests."""
        (self._folder / "stop").touch()

    def now(self) -> Counter[str]:
        """Return the progress of all drivers together, as of their last report."""
        whole: Counter[str] = Counter()
        for part in self._parts:
            progress = self._folder / f"{part.number}.now"
            if progress.exists():
                whole.update(json.loads(progress.read_text(encoding="utf-8")))
        return whole

    @property
    def done(self) -> bool:
        """Whether each driver has written its notes or has ended."""
        return all(
            (self._folder / f"{part.number}.done").exists() or not child.alive
            for part, child in zip(self._parts, self._children, strict=True)
        )

    def collect(self) -> Seen:
        """Return the merged notes. Raise LpstreamError if a driver has not written its notes."""
        notes = []
        for part, child in zip(self._parts, self._children, strict=True):
            path = self._folder / f"{part.number}.json"
            if not path.exists():
                raise LpstreamError(f"a load driver has written no notes: {child.obituary()}")
            notes.append(json.loads(path.read_text(encoding="utf-8")))
        return merged(notes)

    def end(self) -> None:
        """End the drivers. Kill a driver that does not end within END_WITHIN_S seconds."""
        (self._folder / "quit").touch()
        until = time.monotonic() + END_WITHIN_S
        for child in self._children:
            while child.alive and time.monotonic() < until:
                time.sleep(POLL_S)
            child.kill()


def split(whole: Part, folder: Path) -> list[Part]:
    """Split the load into parts, one for each driver.

    The first driver is ours, and requests the LPs. Beside Locust it has no visitors.
    """
    most = A_LOCUST_DRIVER if whole.by_locust else A_DRIVER
    drivers = max(1, min(PROCESSORS, -(-whole.connections // most)))
    shares = [whole.connections // drivers + (number < whole.connections % drivers) for number in range(drivers)]
    visitors = [replace(whole, connections=share, per_minute=0) for share in shares]
    if whole.by_locust:
        parts = [replace(whole, connections=0, by_locust=False), *visitors]
    else:
        parts = [replace(visitors[0], per_minute=whole.per_minute), *visitors[1:]]
    return [replace(part, number=number, folder=str(folder)) for number, part in enumerate(parts)]


def merged(drivers: Sequence[dict[str, Any]]) -> Seen:
    """Merge the notes of all drivers."""
    whole = Seen()
    for notes in drivers:
        for kind in notes["ms"]:
            for into, name in ((whole.at, "at"), (whole.ms, "ms")):
                into[kind] = np.append(into.get(kind, np.empty(0)), np.array(notes[name][kind], dtype=np.float64))
        for kind, causes in notes["errors"].items():
            whole.errors[kind].update(causes)
        whole.error_at += notes["error_at"]
        whole.sent.update(notes["sent"])
        whole.received.update(notes["received"])
        for events, name in ((whole.acknowledged, "acknowledged"), (whole.unresolved, "unresolved")):
            for lp_id, letters in notes[name].items():
                kinds = {KIND_BY_LETTER[letter].value: count for letter, count in letters.items()}
                events[lp_id].update(kinds)
        whole.lps += notes["lps"]
        whole.late_ms += notes["late_ms"]
        whole.cpu_s += notes["cpu_s"]
        whole.seconds = max(whole.seconds, notes["seconds"])
    return whole
