"""The edge's processes: one, or several that share its ports (SO_REUSEPORT) under a parent that restarts them."""

import asyncio
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import cast

import uvloop
from prometheus_client.multiprocess import mark_process_dead

from schemas.errors import SettingError
from streams.edge.beacons.sender import Sender
from streams.edge.server import Stop, serve
from streams.runtime.logs import log_to_stderr
from streams.runtime.metrics import MULTIPROCESS
from streams.runtime.settings import PREFIX, Settings
from streams.runtime.systemd import handed_over
from streams.runtime.tracing import start_tracing, stop_tracing

log = logging.getLogger(__name__)

STOP_S = 15.0
SHORT_LIFE_S, LONGEST_PAUSE_S = 10.0, 10.0


def run_edge(settings: Settings) -> None:
    """Run the edge until SIGTERM or SIGINT."""
    _log_to_stderr(settings)
    count = settings.edge_processes or os.cpu_count() or 1
    if count == 1:
        run_one(settings)
        return
    if handed_over():
        raise SettingError(f"{PREFIX}EDGE_PROCESSES: is {count}; sockets are handed over (LISTEN_FDS) to one process")
    with tempfile.TemporaryDirectory(prefix="lpstream-edge-") as folder:
        os.environ[MULTIPROCESS] = folder
        Parent(settings, count).run()


def run_one(settings: Settings, sender: Sender | None = None) -> None:
    """One process, also as a child: it ends when its parent has gone. `sender` replaces Kafka's."""
    _log_to_stderr(settings)
    start_tracing(settings, "lpstream-edge")
    try:
        uvloop.run(_serve(settings, sender))
    finally:
        stop_tracing()


async def _serve(settings: Settings, sender: Sender | None) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.drain)
    loop.add_signal_handler(signal.SIGINT, stop.at_once)
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop.add_reader(parent.sentinel, stop.at_once)
    await serve(settings, stop, sender)


def _log_to_stderr(settings: Settings) -> None:
    log_to_stderr(settings, "edge")
    # aiohttp logs several lines for every malformed request; a flood of requests must not be one of logs
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class Parent:
    """Keeps so many children running."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._count = count
        self._context = multiprocessing.get_context("spawn")
        self._stopping = self._urgent = False

    def run(self) -> None:
        """Until a signal; then every child answers what it has, and ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        children = [self._start() for _ in range(self._count)]
        pause = 0.5
        while not self._stopping:
            wait([child.sentinel for child in children], timeout=0.5)
            dead = [child for child in children if not child.is_alive()]
            for child in dead:
                if self._stopping:
                    break
                mark_process_dead(child.pid)  # type: ignore[no-untyped-call]
                log.warning("edge process %d ended with code %s, starting another", child.pid, child.exitcode)
                time.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)
                children[children.index(child)] = self._start()
        self._end(children)

    def _start(self) -> SpawnProcess:
        child = self._context.Process(target=run_one, args=(self._settings,), daemon=True)
        child.start()
        return child

    def _stop(self, number: int, _frame: object) -> None:
        self._urgent = self._stopping or number == signal.SIGINT
        self._stopping = True

    def _end(self, children: list[SpawnProcess]) -> None:
        told: signal.Signals | None = None
        deadline = time.monotonic() + self._settings.edge_drain_s + STOP_S
        while (running := [child for child in children if child.is_alive()]) and time.monotonic() < deadline:
            wanted = signal.SIGINT if self._urgent else signal.SIGTERM
            if told is not wanted:
                told = wanted
                for child in running:
                    os.kill(cast(int, child.pid), wanted)
            wait([child.sentinel for child in running], timeout=0.2)
        for child in running:
            child.kill()
