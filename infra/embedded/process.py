"""Child processes that end with their parent, however it ends."""

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
POLL_S, START_S = 0.05, 180.0
TAIL_BYTES = 16_384

# The kernel kills the program when its parent dies (PR_SET_PDEATHSIG = 1, SIGKILL = 9). A launcher sets this and then
# becomes the program; `preexec_fn` may deadlock in a parent with threads. If the parent died before that call, the
# launcher exits. Sockets are passed like systemd's, from descriptor 3 on (sd_listen_fds(3)). They are first copied to
# high numbers, because their own numbers may be targets.
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
    """A thread that starts every child and never ends.

    For the kernel the parent is the thread that forked: a child started by a worker thread would be killed when that
    thread ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._owner = 0

    def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread and return its result."""
        with self._lock:
            if self._owner != os.getpid():  # the first call, or a process forked from one with a spawner
                self._work = queue.SimpleQueue()
                threading.Thread(target=self._serve, args=(self._work,), name="spawner", daemon=True).start()
                self._owner = os.getpid()
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller
                future.set_exception(error)

        self._work.put(job)
        return future.result()

    @staticmethod
    def _serve(work: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            work.get()()


_spawner = _Spawner()


class ChildProcess:
    """A child with its own session, process group and log file. It can be started again after its end."""

    def __init__(
        self,
        name: str,
        args: Sequence[str],
        *,
        log: Path | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        """Set up the child. `env` extends this process's environment.

        `log` is appended to; None is this process's stderr.
        `sockets` are passed to the child and stay open here too.
        """
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
        """The process id, 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs or before the start."""
        return self._process.poll() if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child. Raise LpstreamError if it already runs or the program is missing."""
        if self.alive:
            raise LpstreamError(f"{self.name} already runs (pid {self.pid})")
        program = shutil.which(self._args[0])
        if program is None:
            raise LpstreamError(f"{self.name}: the program {self._args[0]} is missing or not executable")
        given = ",".join(str(listener.fileno()) for listener in self._sockets)
        command = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), given, program, *self._args[1:]]
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        self._started_at = time.monotonic()
        self._process = _spawner.run(lambda: self._spawn(command))

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        # not /dev/stderr: a stderr that is a socket, as under systemd, cannot be opened
        with self.log.open("ab") if self.log else contextlib.nullcontext(sys.stderr) as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env},
                cwd=self._cwd,
                start_new_session=True,
                pass_fds=[listener.fileno() for listener in self._sockets],
            )

    def wait_ready(
        self, probe: Callable[[], bool], timeout_s: float, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until `probe` returns True.

        Raise LpstreamError with the last lines of the log if the child ends first or takes longer than `timeout_s`.
        Raise LpstreamError if `cancelled` returns True.
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
        """Return how the child ended, for a user: name, signal or code, log path and last lines."""
        code = self.returncode
        if code is None:
            return f"{self.name} {'runs' if self.alive else 'was not started'}"
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
        return f"{self.name} {how}\n{self.tail()}"

    def tail(self, lines: int = 15) -> str:
        """Return the log's path and its last lines."""
        if self.log is None:
            return "log: see above"
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = log.read().decode("utf-8", errors="replace").splitlines()
        except OSError:
            text = []
        return "\n".join([f"log: {self.log}", *(f"  {line}" for line in text[-lines:])])

    def memory_mb(self) -> float:
        """Return the resident memory in MB of 2^20 bytes, 0 if the child does not run."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0.0
        row = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
        return int(row.split()[1]) / 1024

    def signal(self, number: int) -> None:
        """Send a signal to the child's process group, if it runs."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def stop(self) -> None:
        """Send `stop_signal`, then SIGKILL to the rest of the group after `grace_s` seconds. Idempotent."""
        self._end(self.stop_signal, self.grace_s)

    def kill(self) -> None:
        """Send SIGKILL at once, like a crash."""
        self._end(signal.SIGKILL, 5.0)

    def _end(self, number: int, grace_s: float) -> None:
        if not self.alive or self._process is None:
            return
        self.signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # usually the group is empty
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Server:
    """A server of the stack: a child process and the check that it answers."""

    def __init__(self, process: ChildProcess, ready: Callable[[], bool]) -> None:
        """Set the process and `ready`, which sends a real request and returns whether it was answered.

        `ready` never raises.
        """
        self.process = process
        self.name = process.name
        self._ready = ready

    def prepare(self, cancelled: Callable[[], bool]) -> None:
        """Do the work that must precede the start of the process; nothing by default."""

    def start(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Prepare and start the server, and wait until it answers. Raise LpstreamError if it does not."""
        self.prepare(cancelled)
        if cancelled():
            raise LpstreamError(f"{self.name}: start cancelled")
        self.process.start()
        self.process.wait_ready(self._ready, START_S, cancelled)

    def kill(self) -> None:
        """Send SIGKILL, for fault tests."""
        self.process.kill()

    def restart(self) -> None:
        """Start again with the same data and ports after `kill` or a crash, and wait until it answers."""
        self.process.start()
        self.process.wait_ready(self._ready, START_S)
