"""The load drivers as the parent sees them: start, go, stop, and what they saw, put together.

Nothing of Locust is imported here: gevent patches the sockets of whatever process it is imported into.
"""

import importlib.util
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.embedded.process import ChildProcess
from schemas.errors import LpstreamError
from schemas.heatmap import KIND_BY_LETTER

READY_WITHIN_S, LOOK_S = 240.0, 0.1
END_WITHIN_S = 30.0
A_DRIVER = 1_000  # connections that one driver takes before there is a second

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """A driver's part of a scenario; `number` of `drivers`, `per_minute` LPs are those of all drivers.

    `seed` decides what is done, `run` the ids of requests: the same ids again would be taken for retries.
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
    drivers: int
    seed: int
    run: int
    folder: str
    drain_s: float


@dataclass(slots=True)
class Seen:
    """What all drivers saw. `at` are s after the start, by kind, as are `ms`; events by page and full kind name."""

    at: dict[str, Floats] = field(default_factory=dict)
    ms: dict[str, Floats] = field(default_factory=dict)
    errors: dict[str, Counter[str]] = field(default_factory=dict)
    error_at: list[float] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[str, Counter[str]] = field(default_factory=dict)
    unresolved: dict[str, Counter[str]] = field(default_factory=dict)
    lps: list[dict[str, Any]] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    seconds: float = 0.0


class Fleet:
    """So many drivers with one part of the load each."""

    def __init__(self, part: Part, folder: Path) -> None:
        """`part` is the whole load; `folder` is empty, and theirs."""
        if importlib.util.find_spec("locust") is None:
            raise LpstreamError("verify needs Locust, which is not installed: pip install 'lpstream[verify]'")
        folder.mkdir(parents=True)
        self._folder = folder
        self._parts = split(part, folder)
        self._children = [self._child(one) for one in self._parts]

    def _child(self, part: Part) -> ChildProcess:
        told = self._folder / f"{part.number}.part.json"
        told.touch(0o600)
        told.write_text(json.dumps(asdict(part)), encoding="utf-8")
        args = [sys.executable, "-m", "streams.proof.verify.driver", str(told)]
        return ChildProcess(f"driver-{part.number}", args, log=self._folder / f"{part.number}.log")

    @property
    def pids(self) -> dict[str, int]:
        """Process id by driver."""
        return {child.name: child.pid for child in self._children}

    def start(self) -> None:
        """Start all; `ready` says when their users are there."""
        for child in self._children:
            child.start()

    def ready(self) -> bool:
        """Whether every user is there; LpstreamError when a driver has ended."""
        for child in self._children:
            if not child.alive:
                raise LpstreamError(child.obituary())
        return all((self._folder / f"{one.number}.ready").exists() for one in self._parts)

    def go(self) -> None:
        """Begin to measure."""
        (self._folder / "go").touch()

    def stop(self) -> None:
        """No new visits and requests; those under way are ended."""
        (self._folder / "stop").touch()

    def now(self) -> Counter[str]:
        """Sums of what the drivers told last."""
        whole: Counter[str] = Counter()
        for one in self._parts:
            told = self._folder / f"{one.number}.now"
            if told.exists():
                whole.update(json.loads(told.read_text(encoding="utf-8")))
        return whole

    @property
    def done(self) -> bool:
        """Whether all have drained and written, or died."""
        return all(
            (self._folder / f"{one.number}.done").exists() or not child.alive
            for one, child in zip(self._parts, self._children, strict=True)
        )

    def collect(self) -> Seen:
        """What they saw; LpstreamError when one has not written it."""
        told = []
        for one, child in zip(self._parts, self._children, strict=True):
            found = self._folder / f"{one.number}.json"
            if not found.exists():
                raise LpstreamError(f"a load driver has told nothing: {child.obituary()}")
            told.append(json.loads(found.read_text(encoding="utf-8")))
        return merged(told)

    def end(self) -> None:
        """Close the connections, end the processes."""
        (self._folder / "quit").touch()
        until = time.monotonic() + END_WITHIN_S
        for child in self._children:
            while child.alive and time.monotonic() < until:
                time.sleep(LOOK_S)
            child.kill()


def split(whole: Part, folder: Path, processors: int = 2) -> list[Part]:
    """The load in parts for as many drivers as there are processors, or fewer when it is small."""
    drivers = max(1, min(processors, -(-whole.connections // A_DRIVER)))
    shares = [whole.connections // drivers + (number < whole.connections % drivers) for number in range(drivers)]
    return [
        replace(whole, number=number, drivers=drivers, connections=share, folder=str(folder))
        for number, share in enumerate(shares)
    ]


def merged(told: Sequence[dict[str, Any]]) -> Seen:
    """The notes of all drivers as one."""
    whole = Seen()
    for one in told:
        for kind in one["ms"]:
            for into, name in ((whole.at, "at"), (whole.ms, "ms")):
                into[kind] = np.append(into.get(kind, np.empty(0)), np.array(one[name][kind], dtype=np.float64))
        for kind, causes in one["errors"].items():
            whole.errors.setdefault(kind, Counter()).update(causes)
        whole.error_at += one["error_at"]
        whole.sent.update(one["sent"])
        whole.received.update(one["received"])
        for events, name in ((whole.acknowledged, "acknowledged"), (whole.unresolved, "unresolved")):
            for lp_id, letters in one[name].items():
                kinds = {KIND_BY_LETTER[letter].value: count for letter, count in letters.items()}
                events.setdefault(lp_id, Counter()).update(kinds)
        whole.lps += one["lps"]
        whole.late_ms += one["late_ms"]
        whole.cpu_s += one["cpu_s"]
        whole.seconds = max(whole.seconds, one["seconds"])
    return whole
