"""A separate process at low priority, for work that would block an event loop."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar, TypeVarTuple, Unpack

from schemas.errors import Retryable

Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")
NICE = 10
MOST_WAITING = 64
# Uploads and maps take one to three. A hostile file must not stop the pictures of all tenants.
MOST_CPU_S = 30.0
PR_SET_PDEATHSIG = 1


class DrawingProcess:
    """One worker process: it starts with the first work and ends with its parent.

    Arguments and results are pickled. Work that takes over `most_cpu_s` of processor time ends the process.
    """

    def __init__(self, most_cpu_s: float = MOST_CPU_S) -> None:
        self._most_cpu_s = most_cpu_s
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0

    async def run(self, work: Callable[[Unpack[Arguments]], Answer], *args: *Arguments) -> Answer:
        """Run the work and return its result; raise Retryable if the queue is full or the process died."""
        if self._waiting >= MOST_WAITING:
            raise Retryable("the queue of the drawing process is full")
        if self._pool is None:
            # a forked process would inherit the loop's sockets and the locks of other threads
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, spawn, _start, (os.getpid(),))
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _limited, self._most_cpu_s, work, *args)
        except BrokenProcessPool as error:
            self._pool = None
            raise Retryable("the drawing process died") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the process at once; running and waiting work is cancelled."""
        if self._pool is not None:
            running = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in running:  # like terminate_workers() of Python 3.14: a browser would need seconds to finish
                process.terminate()


class Threads:
    """The same in threads, for a process without clients that wait for the event loop."""

    async def run(self, work: Callable[[Unpack[Arguments]], Answer], *args: *Arguments) -> Answer:
        """Run the work and return its result."""
        return await asyncio.get_running_loop().run_in_executor(None, work, *args)


def _limited(most_cpu_s: float, work: Callable[[Unpack[Arguments]], Answer], *args: *Arguments) -> Answer:
    """Run the work. A signal ends the process at the limit, also within a library that is not Python."""
    signal.setitimer(signal.ITIMER_PROF, most_cpu_s)
    try:
        return work(*args)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _start(parent: int) -> None:
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
