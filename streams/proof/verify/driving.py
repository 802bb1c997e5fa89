"""The code that both load drivers share: state, phases, and the steps of a visitor.

The drivers add sockets and clocks. The parent and its drivers communicate by files in a folder: `<n>.ready`, `go`,
`stop`, `<n>.now` (once a second), `<n>.json` (the notes at the end), `<n>.done` and `quit`.
"""

import json
import random
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

from streams.proof.load import Template
from streams.proof.verify.fleet import Notes, Part
from streams.proof.verify.visits import EVERY_MS, Request, Step, pool

POLL_S, REPORT_EVERY_S, WITHIN_S = 0.25, 1.0, 15.0
AGAIN_S, LONGEST_AGAIN_S = 1.0, 60.0  # pauses of the snippet
VISITS, MOST_LATE = 400, 200_000
NOT_NOW = {0, 408, 429, 500, 502, 503, 504}
# status 202 is "not done yet"; 404 is "not read from Kafka yet"
GOOD = {"page": {200}, "beacon": {204}, "ask": {200}, "status": {200, 202, 404}, "progress": {200, 404}}

Waiting = deque[tuple[Mapping[str, int], bytes]]
"""The counts and the bytes of a visitor's beacons that are not acknowledged, the oldest first."""


class Driving:
    """The state of a driver. It calls `begin` once, when the visitors may start."""

    def __init__(self, part: Part, begin: Callable[[], None]) -> None:
        self.part = part
        self._begin = begin
        self.notes = Notes[list[float]]()
        self.rng = random.Random(part.seed * 1_000 + part.number)
        self.stopping = False
        self.busy = 0
        self.here = 0
        self.began = float("inf")
        self._visits = pool(part.seed * 1_000 + part.number, VISITS)
        self._folder = Path(part.folder)

    def since(self) -> float:
        """Return the seconds since the load began, or a negative number before that."""
        return time.time() - self.began

    @property
    def draining(self) -> bool:
        """Whether open requests may still finish."""
        return self.since() < self.part.seconds + self.part.drain_s

    def note(self, kind: str, ms: float, size: int, status: int, *, timed_out: bool = False) -> None:
        """Record a request: its time, the bytes of its body, and its status (0 without a complete response)."""
        at = self.since()
        if at < 0 or not self.draining:
            return
        notes = self.notes
        notes.at[kind].append(round(at, 1))
        notes.ms[kind].append(round(ms, 1))
        notes.received[kind] += size
        if status not in GOOD[kind]:
            notes.errors[kind][cause_of(status, timed_out)] += 1
            notes.error_at.append(round(at, 1))

    def visits(self) -> Generator[Step, int | None, None]:
        """Yield the steps of visitors, one after another, until the load stops.

        The caller sends the status of each request, 0 if there is no whole answer.
        """
        while not self.stopping:
            lp_id = self.rng.choice(self.part.lp_ids)
            if (yield Request("page", f"/lp/{lp_id}")) == 200:
                yield from self._stay(lp_id)
            else:
                yield EVERY_MS / 1000

    def _stay(self, lp_id: str) -> Generator[Step, int | None, None]:
        """Post a beacon every 5 s. Beacons that the edge refuses for now wait, as in the snippet.

        The pause after a failed attempt doubles, up to LONGEST_AGAIN_S. Then all waiting beacons are posted, the oldest
        first. The driver posts the last ones until the drain ends; in the snippet the visitor's next page does that.
        """
        pageview = str(uuid4()).encode()
        waiting: Waiting = deque()
        pause, again_at = AGAIN_S, 0.0
        due = time.monotonic() + EVERY_MS / 1000 * self.rng.random()
        for beacon in self.rng.choice(self._visits):
            yield from self._until(due, waiting)
            if self.stopping:
                break
            if len(self.notes.late_ms) < MOST_LATE:
                self.notes.late_ms.append(round(max(0.0, time.monotonic() - due) * 1000, 1))
            t0 = int(time.time() * 1000) - beacon.span_ms
            self._enqueue(lp_id, waiting, beacon, beacon.body(pageview, t0, lp_id.encode()))
            if time.monotonic() >= again_at:
                taken = yield from self._post(lp_id, waiting)
                pause, again_at = (AGAIN_S, 0.0) if taken else (_doubled(pause), time.monotonic() + pause)
            due = max(due + EVERY_MS / 1000, time.monotonic())
        pause = AGAIN_S
        while waiting and self.draining:
            yield pause
            pause = _doubled(pause)
            yield from self._post(lp_id, waiting)
        self.busy -= bool(waiting)

    def _until(self, due: float, waiting: Waiting) -> Generator[Step, int | None, None]:
        """Wait until `due`. A visitor with waiting beacons notices the end of the load within a second."""
        while waiting and not self.stopping and due - time.monotonic() > AGAIN_S:
            yield AGAIN_S
        if not (waiting and self.stopping):
            yield max(0.0, due - time.monotonic())

    def _enqueue(self, lp_id: str, waiting: Waiting, beacon: Template, body: bytes) -> None:
        self.busy += not waiting
        waiting.append((beacon.letters, body))
        _add(self.notes.unresolved[lp_id], beacon.letters)

    def _post(self, lp_id: str, waiting: Waiting) -> Generator[Step, int | None, bool]:
        """Post the waiting beacons. Return False if the edge does not take one now, or if the drain is over.

        A beacon without an answer at the end of the drain stays unresolved.
        """
        while waiting:
            letters, body = waiting[0]
            if not self.draining:
                return False
            status = yield Request("beacon", "/e/heatmap.events", body)
            self.notes.sent["beacon"] += len(body)
            if status in NOT_NOW:
                return False
            waiting.popleft()
            _add(self.notes.unresolved[lp_id], letters, -1)
            if status == 204:
                _add(self.notes.acknowledged[lp_id], letters)
        self.busy -= 1
        return True

    def phases(self) -> Iterator[None]:
        """Run a driver: wait for the file `go`, send load, drain, write the notes, wait for `quit`.

        While it drains, open requests finish and no new visitor comes. The caller sleeps POLL_S at each yield.
        """
        part = self.part
        if part.ramp_s:
            self._begin()
        while self.here < part.connections and not self._has_file("stop"):
            yield
            self._report_progress()
        (self._folder / f"{part.number}.ready").touch()
        while not self._has_file("go") and not self._has_file("stop"):
            yield
        self.began = time.time()
        used = time.process_time()
        if not part.ramp_s:
            self._begin()
        yield from self._measured()
        self.notes.cpu_s, self.notes.seconds = time.process_time() - used, self.since()
        self.stopping = True
        while self.busy and self.draining:
            yield
        yield
        self._write("json", {item.name: getattr(self.notes, item.name) for item in fields(Notes)})
        (self._folder / f"{part.number}.done").touch()
        while not self._has_file("quit"):
            yield

    def _measured(self) -> Iterator[None]:
        reported_at = 0.0
        while self.since() < self.part.seconds and not self._has_file("stop"):
            yield
            if time.monotonic() - reported_at > REPORT_EVERY_S:
                reported_at = time.monotonic()
                self._report_progress()

    def _has_file(self, name: str) -> bool:
        return (self._folder / name).exists()

    def _report_progress(self) -> None:
        notes = self.notes
        progress = {
            "users": self.here,
            "requests": sum(map(len, notes.ms.values())),
            "errors": len(notes.error_at),
            "lps": len(notes.lps),
            "answered": sum("wait_ms" in lp for lp in notes.lps),
        }
        self._write("now", progress)

    def _write(self, name: str, value: Any) -> None:
        target = self._folder / f"{self.part.number}.{name}"
        partial = target.with_suffix(".part")
        partial.write_text(json.dumps(value), encoding="utf-8")
        partial.replace(target)


def _doubled(pause: float) -> float:
    return min(2 * pause, LONGEST_AGAIN_S)


def _add(tally: Counter[str], letters: Mapping[str, int], times: int = 1) -> None:
    """Count the events of a beacon. For few letters, this is faster than `Counter.update`."""
    for letter, count in letters.items():
        tally[letter] += times * count


def cause_of(status: int, timed_out: bool) -> str:
    """Return the cause of an error: timeout, connection, refused (4xx), or server (other statuses)."""
    if not status:
        return "timeout" if timed_out else "connection"
    return "refused" if 400 <= status < 500 else "server"


def part_of_this_process() -> Part:
    """Read this driver's part from the file in the first argument, and raise the limit of open files.

    The part holds a token, and other users can read a command line.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return Part(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
