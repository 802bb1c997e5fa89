"""Work that would hold up an event loop, in a process of its own at low priority."""

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
PR_SET_PDEATHSIG = 1


class DrawingProcess:
    """One process, started when there is work, ended with its parent. What it is given and gives is pickled."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0

    async def run(self, work: Callable[[Unpack[Arguments]], Answer], *args: *Arguments) -> Answer:
        """The work's answer; Retryable when too much waits for the process, or it died."""
        if self._waiting >= MOST_WAITING:
            raise Retryable("too much waits to be drawn")
        if self._pool is None:
            # a fork would take the loop's sockets and other threads' locks with it
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, spawn, _start, (os.getpid(),))
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        except BrokenProcessPool as error:
            self._pool = None
            raise Retryable("the process that draws pictures died") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the process at once; what it does or what waits is not done."""
        if self._pool is not None:
            running = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in running:  # as kill_workers() of Python 3.14: a browser's work would take seconds to end
                process.terminate()


def _start(parent: int) -> None:
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent tells it when to end
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
