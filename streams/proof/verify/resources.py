"""The resource monitor: processor, memory, disk and network of processes.

It reads /proc (proc(5)) once a second, and ss(8) every 10 s.
"""

import asyncio
import contextlib
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from streams.proof.processes import children_of, machine_s, read, stat_of

SAMPLE_S, SOCKETS_EVERY_S = 1.0, 10.0
SS = ("ss", "-tinHO", "state", "established")
SS_LISTENING = ("ss", "-tlnpH", "sport", "=")

Pids = Callable[[], Mapping[str, int]]


@dataclass(slots=True)
class Use:
    """The use of a process and its children: processor seconds and disk bytes so far, memory bytes now."""

    cpu_s: float = 0.0
    memory: int = 0
    disk_read: int = 0
    disk_written: int = 0


@dataclass(slots=True)
class Sample:
    """A sample: seconds of the monotonic clock, the machine's busy processor seconds, the use by process."""

    at: float
    machine_s: float
    uses: dict[str, Use]


@dataclass(slots=True)
class Watch:
    """The samples that `run` takes. A restarted process starts at zero again, so its lives are summed."""

    pids: Pids
    ports: Mapping[int, str]
    samples: list[Sample] = field(default_factory=list)
    network: dict[str, Counter[str]] = field(default_factory=dict)
    _lives: dict[str, tuple[int, Use, Use]] = field(default_factory=dict)
    _sockets: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    async def run(self) -> None:
        """Take samples until cancelled."""
        sockets_at = 0.0
        await self._look_at_sockets(first=True)
        while True:
            self.samples.append(self.look())
            if time.monotonic() - sockets_at > SOCKETS_EVERY_S:
                sockets_at = time.monotonic()
                await self._look_at_sockets()
            await asyncio.sleep(SAMPLE_S)

    def look(self) -> Sample:
        """Take a sample."""
        return Sample(time.monotonic(), machine_s(), {name: self._use(name, pid) for name, pid in self.pids().items()})

    def _use(self, name: str, pid: int) -> Use:
        """Return the use of all lives of the process; earlier lives count as last sampled."""
        now = used(pid)
        known, before, last = self._lives.get(name, (pid, Use(), Use()))
        if known != pid:
            before = _plus(before, last)
        self._lives[name] = (pid, before, now)
        whole = _plus(before, now)
        whole.memory = now.memory
        return whole

    async def _look_at_sockets(self, *, first: bool = False) -> None:
        """Add the bytes of each server's connections, by its port.

        Bytes between the last look and the end of a connection are not counted.
        """
        connections = await asyncio.to_thread(sockets, frozenset(self.ports))
        for (local, peer), (sent, received) in connections.items():
            name = self.ports[int(local.rpartition(":")[2])]
            sent_before, received_before = (sent, received) if first else self._sockets.get((local, peer), (0, 0))
            into = self.network.setdefault(name, Counter())
            # a new connection may reuse the port of an old one; its counters start at zero
            into["sent"] += sent - sent_before if sent >= sent_before else sent
            into["received"] += received - received_before if received >= received_before else received
        self._sockets = connections


def _plus(before: Use, now: Use) -> Use:
    return Use(
        before.cpu_s + now.cpu_s,
        now.memory,
        before.disk_read + now.disk_read,
        before.disk_written + now.disk_written,
    )


def used(pid: int) -> Use:
    """Return the use of a process and its children; zeros if the process has ended."""
    use = Use()
    pids = [pid] if pid else []
    while pids:
        current = pids.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            now = stat_of(current)
            use.cpu_s += now.cpu_s
            use.memory += now.memory
            pids += children_of(current)
            for line in read(current, "io").splitlines():
                name, _, value = line.partition(": ")
                if name == "read_bytes":
                    use.disk_read += int(value)
                elif name == "write_bytes":
                    use.disk_written += int(value)
    return use


def sockets(ports: frozenset[int]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the bytes sent and received by each open connection to the ports; empty without ss(8)."""
    try:
        text = subprocess.run(SS, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    connections = {}
    for line in text.splitlines():
        _, _, local, peer, *rest = line.split()
        if int(local.rpartition(":")[2]) not in ports:
            continue
        counts = dict(part.split(":", 1) for part in rest if part.startswith(("bytes_acked:", "bytes_received:")))
        connections[local, peer] = (int(counts.get("bytes_acked", 0)), int(counts.get("bytes_received", 0)))
    return connections


def listening(port: int) -> set[int]:
    """Return the ids of the processes that listen on a port; empty without ss(8)."""
    try:
        text = subprocess.run(
            [*SS_LISTENING, f":{port}"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return {int(pid) for pid in re.findall(r"pid=(\d+)", text)}


def port_of(address: str) -> int:
    """Return the port of an address or URL; 0 if it has none."""
    return urlsplit(address if "//" in address else f"//{address}").port or 0
