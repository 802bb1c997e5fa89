"""A load driver: Locust in its own process, so that gevent's patched sockets do not mix with asyncio.

Each Locust user is a visitor on its own keep-alive connection. It fetches a page, posts a beacon every 5 s and leaves;
then the next visitor comes. An additional user stands for the applications: it requests LPs at fixed times (open loop)
and follows each to its result, half of them on a progress stream.

The parent and its drivers communicate by files in a folder: `<n>.ready`, `go`, `stop`, `<n>.now` (once a second),
`<n>.json` (the notes at the end), `<n>.done` and `quit`.
"""

from gevent import monkey

monkey.patch_all()  # must come before the imports of modules that open sockets

import json
import random
import resource
import select
import socket
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
from gevent.event import Event
from geventhttpclient.connectionpool import ConnectionPool
from locust import FastHttpUser, task
from locust.env import Environment

from streams.generation.mix import Mix
from streams.proof.verify.fleet import Notes, Part
from streams.proof.verify.visits import EVERY_MS, pool

POLL_S, TOLD_EVERY_S = 0.05, 1.0
AGAIN_S, RESULT_POLL_S, ASK_WITHIN_S = 1.0, 0.5, 90.0
VISITS = 400
NOT_NOW = {0, 408, 429, 500, 502, 503, 504}
TEXT = {"Content-Type": "text/plain"}
V2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}
SPAWN_ALL = 1_000.0  # Locust users per second without a ramp; they wait for the start


class Driver:
    """The state that the users of a process share."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.notes = Notes[list[float]]()
        self.visits = pool(part.seed * 1_000 + part.number, VISITS)
        self.rng = random.Random(part.seed * 1_000 + part.number)
        self.gate = Event()
        self.stopping = False
        self.busy = 0
        self.here = 0
        self.began = float("inf")
        self.folder = Path(part.folder)

    def since(self) -> float:
        """Return the seconds after the start; negative before it."""
        return time.time() - self.began

    def note(
        self, *, name: str, response_time: float, response_length: int, response: Any, exception: Any, **_: Any
    ) -> None:
        """Note a request. Listener of Locust's request event."""
        at = self.since()
        if at < 0 or at > self.part.seconds + self.part.drain_s:
            return
        notes = self.notes
        notes.at[name].append(round(at, 1))
        notes.ms[name].append(round(response_time, 1))
        notes.received[name] += response_length or 0
        if exception is not None:
            notes.errors[name][cause_of(getattr(response, "status_code", 0), exception)] += 1
            notes.error_at.append(round(at, 1))


def _is_alive(_pool: ConnectionPool, connection: socket.socket | None) -> bool:
    """Return whether an idle connection is still open. A readable idle connection has ended.

    geventhttpclient uses select(2), which fails for file descriptors above 1,023. It then takes the connection for
    closed and opens a new connection for each request of every visitor beyond the thousandth.
    """
    if connection is None or connection.fileno() < 0:
        return False
    poller = _poll()
    poller.register(connection.fileno(), select.POLLIN)
    return not poller.poll(0)


_poll = monkey.get_original("select", "poll")
ConnectionPool._is_socket_alive = _is_alive


def cause_of(status: int, exception: Any) -> str:
    """Return the cause of an error: timeout, server (5xx), refused (4xx) or connection."""
    if status >= 500:
        return "server"
    if status >= 400:
        return "refused"
    timed_out = isinstance(exception, TimeoutError | gevent.Timeout) or "timed out" in str(exception).lower()
    return "timeout" if timed_out else "connection"


class Visitor(FastHttpUser):
    """A connection that serves visitors one after another."""

    driver: Driver
    network_timeout = 15.0
    connection_timeout = 15.0
    concurrency = 1

    @task
    def visits(self) -> None:
        """Visit pages until the scenario ends."""
        driver = self.driver
        driver.here += 1
        driver.gate.wait()
        while not driver.stopping:
            self._visit()
        while True:  # the connection stays open until the driver ends
            gevent.sleep(60)

    def _visit(self) -> None:
        driver = self.driver
        lp_id = driver.rng.choice(driver.part.lp_ids)
        if self.client.get(f"/lp/{lp_id}", name="page").status_code != 200:
            gevent.sleep(EVERY_MS / 1000)
            return
        pageview = str(uuid4()).encode()
        due = time.monotonic() + EVERY_MS / 1000 * driver.rng.random()
        for beacon in driver.rng.choice(driver.visits):
            gevent.sleep(max(0.0, due - time.monotonic()))
            if driver.stopping:
                return
            if len(driver.notes.late_ms) < 200_000:
                driver.notes.late_ms.append(round(max(0.0, time.monotonic() - due) * 1000, 1))
            t0 = int(time.time() * 1000) - beacon.span_ms
            self._post(lp_id, beacon, beacon.body(pageview, t0, lp_id.encode()).decode())
            due = max(due + EVERY_MS / 1000, time.monotonic())

    def _post(self, lp_id: str, beacon: Any, body: str) -> None:
        """Post a beacon until it is acknowledged, as the snippet does.

        A beacon without an answer at the end of the drain stays unresolved.
        """
        driver = self.driver
        driver.busy += 1
        driver.notes.unresolved[lp_id].update(beacon.letters)
        try:
            while driver.since() < driver.part.seconds + driver.part.drain_s:
                answer = self.client.post("/e/heatmap.events", data=body, name="beacon", headers=TEXT)
                driver.notes.sent["beacon"] += len(body)
                if answer.status_code == 204:
                    driver.notes.acknowledged[lp_id].update(beacon.letters)
                if answer.status_code not in NOT_NOW:
                    driver.notes.unresolved[lp_id].subtract(beacon.letters)
                    return
                gevent.sleep(AGAIN_S)
        finally:
            driver.busy -= 1


class Applications(FastHttpUser):
    """The applications: they request LPs at fixed times. A greenlet follows each LP."""

    driver: Driver
    fixed_count = 1
    network_timeout = 15.0
    connection_timeout = 15.0
    concurrency = 4_000

    @task
    def ask(self) -> None:
        """Request LPs from the start to the end."""
        driver, part = self.driver, self.driver.part
        driver.here += 1
        driver.gate.wait()
        mix, number = Mix.load(), part.number
        rng = random.Random(part.seed)
        patterns: list[Any] = []
        while part.per_minute and not driver.stopping:
            due = number * 60 / part.per_minute
            gevent.sleep(max(0.0, min(due - driver.since(), TOLD_EVERY_S)))
            if driver.since() < due:
                continue
            if due >= part.seconds:
                break
            while len(patterns) <= number:
                patterns.append(mix.draw(rng))
            request = patterns[number].request(number, part.run, part.tenant)
            gevent.spawn(self._follow, request, by_stream=number // part.drivers % 2 == 0)
            number += part.drivers
        while True:
            gevent.sleep(60)

    def _follow(self, request: dict[str, Any], *, by_stream: bool) -> None:
        driver = self.driver
        driver.busy += 1
        began = time.monotonic()
        lp: dict[str, Any] = {"id": request["request_id"], "at": round(driver.since(), 1), "asked": False}
        driver.notes.lps.append(lp)
        try:
            if self._ask(request, lp):
                result = self._result(request["request_id"], by_stream)
                if result is not None:
                    timings = result["timings_ms"]
                    lp |= {
                        "wait_ms": round((time.monotonic() - began) * 1000), "status": result["status"],
                        "cache": result["cache"], "total_ms": timings["total"], "provider_ms": timings["provider"],
                        "cost": result["cost_micro_jpy"],
                    }  # fmt: skip
        finally:
            driver.busy -= 1

    def _time_left(self) -> bool:
        return self.driver.since() < self.driver.part.seconds + self.driver.part.drain_s

    def _ask(self, request: dict[str, Any], lp: dict[str, Any]) -> bool:
        body = json.dumps({"records": [{"value": request}]})
        url, until = f"{self.driver.part.api}/topics/lp.requests", time.monotonic() + ASK_WITHIN_S
        while time.monotonic() < until and self._time_left():
            answer = self.client.post(url, data=body, name="ask", headers=self._headers() | V2)
            self.driver.notes.sent["ask"] += len(body)
            if answer.status_code == 200 and not answer.json()["offsets"][0].get("error"):
                lp["asked"] = True
                return True
            if answer.status_code not in (200, *NOT_NOW):
                return False
            gevent.sleep(AGAIN_S)
        return False

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.driver.part.token}"}

    def _result(self, request_id: str, by_stream: bool) -> dict[str, Any] | None:
        """Return the result once there is one; None if the drain ends first."""
        url = f"{self.driver.part.api}/lp/requests/{request_id}"
        while self._time_left():
            if by_stream:
                self._stream(f"{url}/events")
            # 202 (not done yet) and 404 (not read from Kafka yet) are answers, not errors
            with self.client.get(url, name="status", headers=self._headers(), catch_response=True) as answer:
                if answer.status_code in (200, 202, 404):
                    answer.success()
            if answer.status_code == 200:
                result: dict[str, Any] = answer.json()
                return result
            gevent.sleep(RESULT_POLL_S)
        return None

    def _stream(self, url: str) -> None:
        """Read the progress stream to its end, or until it breaks."""
        with self.client.get(url, name="progress", headers=self._headers(), stream=True, catch_response=True) as answer:
            if answer.status_code == 404:
                answer.success()
                return
            if answer.status_code != 200:
                return
            try:
                for chunk in answer.iter_content(chunk_size=512):
                    self.driver.notes.received["progress"] += len(chunk)
            except Exception as error:  # noqa: BLE001 - any error counts as one failed request
                answer.failure(f"broken: {type(error).__name__}")


def run(part: Part) -> None:
    """Start the users, wait for `go`, drive, drain, and write the notes."""
    driver = Driver(part)
    Visitor.driver = Applications.driver = driver
    Visitor.host = Applications.host = part.edge
    environment = Environment(user_classes=[Visitor, Applications], host=part.edge)
    environment.events.request.add_listener(driver.note)  # type: ignore[no-untyped-call]
    runner = environment.create_local_runner()
    if part.ramp_s:
        driver.gate.set()
    count = part.connections + 1
    runner.start(count, spawn_rate=count / part.ramp_s if part.ramp_s else SPAWN_ALL)
    while driver.here < count and not (driver.folder / "stop").exists():
        gevent.sleep(POLL_S)
        _tell(driver, "now")
    (driver.folder / f"{part.number}.ready").touch()
    while not (driver.folder / "go").exists() and not (driver.folder / "stop").exists():
        gevent.sleep(POLL_S)
    driver.began = time.time()
    used = time.process_time()
    driver.gate.set()
    _drive(driver)
    driver.notes.cpu_s, driver.notes.seconds = time.process_time() - used, driver.since()
    driver.stopping = True
    while driver.busy and driver.since() < part.seconds + part.drain_s:
        gevent.sleep(POLL_S)
    gevent.sleep(POLL_S)
    notes = {item.name: getattr(driver.notes, item.name) for item in fields(Notes)}
    _write(driver.folder / f"{part.number}.json", notes)
    (driver.folder / f"{part.number}.done").touch()
    while not (driver.folder / "quit").exists():
        gevent.sleep(POLL_S)


def _drive(driver: Driver) -> None:
    written_at = 0.0
    while driver.since() < driver.part.seconds and not (driver.folder / "stop").exists():
        gevent.sleep(POLL_S)
        if time.monotonic() - written_at > TOLD_EVERY_S:
            written_at = time.monotonic()
            _tell(driver, "now")


def _tell(driver: Driver, name: str) -> None:
    notes = driver.notes
    _write(
        driver.folder / f"{driver.part.number}.{name}",
        {
            "users": driver.here,
            "requests": sum(map(len, notes.ms.values())),
            "errors": len(notes.error_at),
            "lps": len(notes.lps),
            "answered": sum("wait_ms" in lp for lp in notes.lps),
        },
    )


def _write(target: Path, value: Any) -> None:
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps(value), encoding="utf-8")
    partial.replace(target)


def main() -> None:
    """Run the part of the load in the file that the only argument names.

    The part holds a token, and other users can read a command line.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run(Part(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
