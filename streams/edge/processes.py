"""The edge's processes: one, or several on the same ports (SO_REUSEPORT) that a parent restarts."""

import asyncio
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import cast

import uvloop
from prometheus_client.multiprocess import mark_process_dead

from schemas.errors import SettingError
from streams.edge.beacons.sender import Sender
from streams.edge.server import Stop, listeners, serve
from streams.runtime.logs import log_to_stderr
from streams.runtime.metrics import MULTIPROCESS
from streams.runtime.settings import PREFIX, Settings
from streams.runtime.supervisor import Restarts
from streams.runtime.systemd import handed_over
from streams.runtime.tracing import start_tracing, stop_tracing

log = logging.getLogger(__name__)

STOP_S = 15.0
LONGEST_PAUSE_S, POLL_S = 10.0, 0.5


def run_edge(settings: Settings) -> None:
    """Run the edge until SIGTERM or SIGINT."""
    _log_to_stderr(settings)
    count = settings.edge_processes or os.cpu_count() or 1
    if count == 1:
        run_one(settings)
        return
    if handed_over():
        raise SettingError(f"{PREFIX}EDGE_PROCESSES: is {count}; set it to 1 with sockets of a supervisor (LISTEN_FDS)")
    for listener in listeners(settings):  # the children share ports, so none of them would notice another program
        listener.close()
    with tempfile.TemporaryDirectory(prefix="lpstream-edge-") as folder:
        os.environ[MULTIPROCESS] = folder
        Parent(settings, count).run()


def run_one(settings: Settings, sender: Sender | None = None, *, shared: bool = False) -> None:
    """Run one edge process; as a child it ends with its parent. The arguments are those of `serve`."""
    _log_to_stderr(settings)
    start_tracing(settings, "lpstream-edge")
    try:
        uvloop.run(_serve(settings, sender, shared))
    finally:
        stop_tracing()


async def _serve(settings: Settings, sender: Sender | None, shared: bool) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.drain)
    loop.add_signal_handler(signal.SIGINT, stop.at_once)
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop.add_reader(parent.sentinel, stop.at_once)
    await serve(settings, stop, sender, shared=shared)


def _log_to_stderr(settings: Settings) -> None:
    log_to_stderr(settings, "edge")
    # aiohttp logs several lines for every malformed request; a flood of them must not flood the log
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class Slot:
    """The place of one child process."""

    child: SpawnProcess
    restarts: Restarts = field(default_factory=lambda: Restarts(LONGEST_PAUSE_S))


class Parent:
    """A parent that keeps `count` child processes running."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._count = count
        self._context = multiprocessing.get_context("spawn")
        self._stopping = self._urgent = False

    def run(self) -> None:
        """Run until a signal. Then each child finishes its open requests and ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        slots = [Slot(self._start()) for _ in range(self._count)]
        while not self._stopping:
            wait([slot.child.sentinel for slot in slots if slot.child.is_alive()], timeout=POLL_S)
            for slot in slots:
                if not slot.child.is_alive() and not self._stopping:
                    self._replace(slot)
        self._end([slot.child for slot in slots])

    def _replace(self, slot: Slot) -> None:
        """Start another child in the place of a dead child, after its pause."""
        if not slot.restarts.pausing:
            mark_process_dead(slot.child.pid)  # type: ignore[no-untyped-call]
            log.warning("edge process %d ended with code %s; starting another", slot.child.pid, slot.child.exitcode)
        if slot.restarts.due():
            slot.child = self._start()
            slot.restarts.started()

    def _start(self) -> SpawnProcess:
        child = self._context.Process(target=run_one, args=(self._settings,), kwargs={"shared": True}, daemon=True)
        child.start()
        return child

    def _stop(self, number: int, _frame: object) -> None:
        self._urgent = self._stopping or number == signal.SIGINT
        self._stopping = True

    def _end(self, children: list[SpawnProcess]) -> None:
        sent: signal.Signals | None = None
        deadline = time.monotonic() + self._settings.edge_drain_s + STOP_S
        while (running := [child for child in children if child.is_alive()]) and time.monotonic() < deadline:
            number = signal.SIGINT if self._urgent else signal.SIGTERM
            if sent is not number:
                sent = number
                for child in running:
                    os.kill(cast(int, child.pid), number)
            wait([child.sentinel for child in running], timeout=0.2)
        for child in running:
            child.kill()
