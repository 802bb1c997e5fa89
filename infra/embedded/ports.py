"""Free loopback ports, which a data folder keeps while they stay free.

All are below 32768. Above that the kernel takes ports for outgoing connections, and a client that waits for a server
can connect to itself.
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
# the data folder that claimed the port in this process, by port
_claimed: dict[int, Path] = {}


def claim(port: int, data: Path) -> bool:
    """Claim the port for the folder against all processes of this user. Return False if it is taken.

    The claim lasts until this process ends. A free port may belong to a server that is still starting. Without a claim
    two stacks that start at once could choose the same port.
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
    """Return whether a server can bind the port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """Ports by name, stored in `<data>/ports.json`, so that addresses survive a restart."""

    def __init__(self, data: Path) -> None:
        self._data = data.resolve()
        self._file = data / "ports.json"
        self._stored = _stored(self._file)
        self._taken: set[int] = set()

    def get(self, name: str) -> int:
        """Return the name's stored port if it is free, else a new one. Raise RuntimeError if none is free."""
        candidates = [self._stored.get(name, 0), *random.sample(range(LOWEST, HIGHEST + 1), ATTEMPTS)]
        # stored ports of other names are not used, so that the order of calls does not matter
        reserved = {port for other, port in self._stored.items() if other != name} | self._taken
        for port in candidates:
            if LOWEST <= port <= HIGHEST and port not in reserved and is_free(port) and claim(port, self._data):
                self._taken.add(port)
                self._stored[name] = port
                return port
        raise RuntimeError(f"there is no free port on 127.0.0.1 in {LOWEST}-{HIGHEST} for {name}")

    def save(self) -> None:
        """Store the ports."""
        partial = self._file.with_suffix(f".{os.getpid()}.tmp")
        partial.write_text(json.dumps(self._stored, indent=1), encoding="utf-8")
        partial.replace(self._file)


def _stored(file: Path) -> dict[str, int]:
    """Return the stored ports, empty if the file is missing or damaged: ports can be chosen again."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(name): port for name, port in content.items() if isinstance(port, int)}
