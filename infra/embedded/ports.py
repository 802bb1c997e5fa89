"""Free loopback ports, kept for a data folder while they stay free.

Below 32768: above it the kernel takes ports for outgoing connections, and a client that waits for a server
can end up connected to itself.
"""

import fcntl
import json
import os
import random
import socket
import tempfile
from pathlib import Path

LOWEST, HIGHEST = 18_000, 29_999
ATTEMPTS = 1_000
# by port: the data folder that has claimed it in this process
_claimed: dict[int, Path] = {}


def claim(port: int, data: Path) -> bool:
    """Whether the port is the folder's, among all processes of this user, until this process ends.

    A port that is free now may be so because the server it was given to is still starting: without a claim, two
    stacks that start at once could choose the same one.
    """
    if port in _claimed:
        return _claimed[port] == data
    folder = Path(tempfile.gettempdir()) / f"lpstream-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _claimed[port] = data
    return True


def is_free(port: int) -> bool:
    """Whether a server could bind the port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Ports:
    """Ports by name, remembered in `<data>/ports.json` so that addresses survive a restart."""

    def __init__(self, data: Path) -> None:
        self._data = data.resolve()
        self._file = data / "ports.json"
        self._kept = _kept(self._file)
        self._taken: set[int] = set()

    def get(self, name: str) -> int:
        """A free port for that name: the one it had, or a new one. RuntimeError when none is free."""
        candidates = [self._kept.get(name, 0), *random.sample(range(LOWEST, HIGHEST + 1), ATTEMPTS)]
        # a kept port of another name is spared too, so that asking in another order changes nothing
        spared = {port for other, port in self._kept.items() if other != name} | self._taken
        for port in candidates:
            if LOWEST <= port <= HIGHEST and port not in spared and is_free(port) and claim(port, self._data):
                self._taken.add(port)
                self._kept[name] = port
                return port
        raise RuntimeError(f"no free port on 127.0.0.1 in {LOWEST}-{HIGHEST} for {name}")

    def save(self) -> None:
        """Remember the ports given out."""
        partial = self._file.with_suffix(f".{os.getpid()}.tmp")
        partial.write_text(json.dumps(self._kept, indent=1), encoding="utf-8")
        partial.replace(self._file)


def _kept(file: Path) -> dict[str, int]:
    """What was remembered; nothing when the file is missing or spoilt, since ports can be chosen anew."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): port for name, port in found.items() if isinstance(port, int)}
