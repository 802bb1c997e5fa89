"""Child processes that are gone when their parent is, however it ends."""

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from schemas.errors import LpstreamError

T = TypeVar("T")
POLL_S = 0.05
TAIL_BYTES = 16_384

# The kernel kills the program when its parent is gone (PR_SET_PDEATHSIG = 1, SIGKILL = 9). Set by a launcher that
# becomes the program, and not in `preexec_fn`, which may deadlock in a parent that has threads. The parent may have
# gone before the kernel was told: then the launcher ends by itself. Sockets are handed over as systemd does it, from
# descriptor 3 on (sd_listen_fds(3)); copies out of the way first, for they may lie in each other's place.
LAUNCHER = """\
import ctypes, fcntl, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
given = [int(number) for number in sys.argv[2].split(",") if number]
if given:
    copies = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for number in given]
    for number in given:
        os.close(number)
    for place, copy in enumerate(copies, start=3):
        os.dup2(copy, place)
    os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = str(len(given)), str(os.getpid())
os.execv(sys.argv[3], sys.argv[3:])
"""


class _Spawner:
    """One thread that starts every child and never ends.

    The kernel's "parent is gone" means the thread that forked: a child started by a worker thread would be killed
    when that thread ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._owner = 0

    def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in that thread."""
        with self._lock:
            if self._owner != os.getpid():  # the first time, and in a process that was forked from one with a spawner
                self._work = queue.SimpleQueue()
                threading.Thread(target=self._serve, args=(self._work,), name="spawner", daemon=True).start()
                self._owner = os.getpid()
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                future.set_exception(error)

        self._work.put(job)
        return future.result()

    @staticmethod
    def _serve(work: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            work.get()()


_spawner = _Spawner()


class ChildProcess:
    """One child in a session and process group of its own, with a log file. It can be started again once it ended."""

    def __init__(
        self,
        name: str,
        args: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        """`env` is added to this process's environment; `log` is appended to; `sockets` stay open here, too."""
        self.name = name
        self.log = log
        self._args = list(args)
        self._env = dict(env or {})
        self._cwd = cwd
        self._sockets = sockets
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self.ready_ms = 0
        self.grace_s = 10.0
        self.stop_signal = signal.SIGTERM

    @property
    def pid(self) -> int:
        """Process id; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def returncode(self) -> int | None:
        """How it ended, negative by a signal; None while it runs or before the start."""
        return self._process.poll() if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; LpstreamError when the program cannot be run."""
        if self.alive:
            raise LpstreamError(f"{self.name} runs already (pid {self.pid})")
        program = shutil.which(self._args[0])
        if program is None:
            raise LpstreamError(f"{self.name}: {self._args[0]} is not found, or not executable")
        given = ",".join(str(one.fileno()) for one in self._sockets)
        command = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), given, program, *self._args[1:]]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._started_at = time.monotonic()
        self._process = _spawner.run(lambda: self._spawn(command))

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env},
                cwd=self._cwd,
                start_new_session=True,
                pass_fds=[one.fileno() for one in self._sockets],
            )

    def wait_ready(
        self, probe: Callable[[], bool], timeout_s: float, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Return when `probe` is true; LpstreamError with the log's last lines when it ends first or takes too long.

        `cancelled` turning true ends the wait with an LpstreamError as well.
        """
        started = time.monotonic()
        while time.monotonic() - started < timeout_s:
            if not self.alive:
                raise LpstreamError(self.obituary())
            if cancelled():
                raise LpstreamError(f"{self.name}: start cancelled")
            if probe():
                self.ready_ms = round((time.monotonic() - self._started_at) * 1000)
                return
            time.sleep(POLL_S)
        raise LpstreamError(f"{self.name} did not answer within {timeout_s:g} s\n{self.tail()}")

    def obituary(self) -> str:
        """How it ended, for a user: its name, the signal or code, its log and the log's last lines."""
        code = self.returncode
        if code is None:
            return f"{self.name} {'runs' if self.alive else 'was not started'}"
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
        return f"{self.name} {how}\n{self.tail()}"

    def tail(self, lines: int = 15) -> str:
        """The log's path and its last lines."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = log.read().decode("utf-8", errors="replace").splitlines()
        except OSError:
            text = []
        return "\n".join([f"log: {self.log}", *(f"  {line}" for line in text[-lines:])])

    def memory_mb(self) -> float:
        """Resident memory, MB of 2^20 bytes; 0 when it does not run."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0.0
        row = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
        return int(row.split()[1]) / 1024

    def signal(self, number: int) -> None:
        """Send a signal to its whole group; nothing when it is gone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def stop(self) -> None:
        """SIGTERM or `stop_signal`, then SIGKILL to what is left of its group after `grace_s`. Safe to call again."""
        self._end(self.stop_signal, self.grace_s)

    def kill(self) -> None:
        """SIGKILL at once, as a crash would."""
        self._end(signal.SIGKILL, 5.0)

    def _end(self, number: int, grace_s: float) -> None:
        if not self.alive or self._process is None:
            return
        self.signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty: the usual case
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Server:
    """A child process that serves at an address: a store of the stack."""

    def __init__(self, process: ChildProcess, ready: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """`ready` asks the server something real and says whether it answered; it never raises."""
        self.process = process
        self.name = process.name
        self._ready = ready
        self._timeout_s = timeout_s

    def prepare(self, cancelled: Callable[[], bool]) -> None:
        """What must be done before the process can start; nothing by default."""

    def start(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Prepare, start, and return once it answers. LpstreamError when it does not."""
        self.prepare(cancelled)
        if cancelled():
            raise LpstreamError(f"{self.name}: start cancelled")
        self.process.start()
        self.process.wait_ready(self._ready, self._timeout_s, cancelled)

    def kill(self) -> None:
        """SIGKILL, for tests of faults."""
        self.process.kill()

    def restart(self) -> None:
        """Start again on the same data and ports, after `kill` or a crash; return once it answers."""
        self.process.start()
        self.process.wait_ready(self._ready, self._timeout_s)
