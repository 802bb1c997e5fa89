"""What processes use, by /proc (proc(5)) and ss(8): processor, memory, disk, network; once a second while it runs."""

import asyncio
import contextlib
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SAMPLE_S, SOCKETS_EVERY_S = 1.0, 10.0
SS = ("ss", "-tinHO", "state", "established")
SS_LISTENING = ("ss", "-tlnpH", "sport", "=")

Pids = Callable[[], Mapping[str, int]]


@dataclass(slots=True)
class Use:
    """One process with its children, so far: processor seconds, disk bytes; and its memory now, bytes."""

    cpu_s: float = 0.0
    memory: int = 0
    disk_read: int = 0
    disk_written: int = 0


@dataclass(slots=True)
class Sample:
    """One look: s of a monotonic clock, by process, and the machine's busy processor seconds."""

    at: float
    machine_s: float
    uses: dict[str, Use]


@dataclass(slots=True)
class Watch:
    """Samples while `run` is awaited. A process that was restarted begins again from zero: its parts are summed."""

    pids: Pids
    ports: Mapping[int, str]
    samples: list[Sample] = field(default_factory=list)
    network: dict[str, Counter[str]] = field(default_factory=dict)
    _lives: dict[str, tuple[int, Use, Use]] = field(default_factory=dict)
    _sockets: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled."""
        looked = 0.0
        await self._look_at_sockets(first=True)
        while True:
            self.samples.append(self.look())
            if time.monotonic() - looked > SOCKETS_EVERY_S:
                looked = time.monotonic()
                await self._look_at_sockets()
            await asyncio.sleep(SAMPLE_S)

    def look(self) -> Sample:
        """One sample, now."""
        return Sample(time.monotonic(), machine_s(), {name: self._use(name, pid) for name, pid in self.pids().items()})

    def _use(self, name: str, pid: int) -> Use:
        """Of all lives of the process: those before are kept as they were last seen."""
        now = used(pid)
        known, before, last = self._lives.get(name, (pid, Use(), Use()))
        if known != pid:
            before = _plus(before, last)
        self._lives[name] = (pid, before, now)
        whole = _plus(before, now)
        whole.memory = now.memory
        return whole

    async def _look_at_sockets(self, *, first: bool = False) -> None:
        """Bytes of each server's connections, by its port. What a connection carried after the last look is lost."""
        found = await asyncio.to_thread(sockets, frozenset(self.ports))
        for (local, peer), (sent, received) in found.items():
            name = self.ports[int(local.rpartition(":")[2])]
            sent_before, received_before = (sent, received) if first else self._sockets.get((local, peer), (0, 0))
            into = self.network.setdefault(name, Counter())
            # a port may come again with another connection, which began from zero
            into["sent"] += sent - sent_before if sent >= sent_before else sent
            into["received"] += received - received_before if received >= received_before else received
        self._sockets = found


def _plus(one: Use, other: Use) -> Use:
    return Use(
        one.cpu_s + other.cpu_s,
        other.memory,
        one.disk_read + other.disk_read,
        one.disk_written + other.disk_written,
    )


def used(pid: int) -> Use:
    """What the process and its children have used; zeros when it is gone."""
    use = Use()
    waiting = [pid] if pid else []
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = _read(one, "stat").rpartition(") ")[2].split()
            use.cpu_s += (int(fields[11]) + int(fields[12])) / TICKS_PER_S
            use.memory += int(fields[21]) * PAGE_BYTES
            waiting += map(int, _read(one, f"task/{one}/children").split())
            for line in _read(one, "io").splitlines():
                name, _, value = line.partition(": ")
                if name == "read_bytes":
                    use.disk_read += int(value)
                elif name == "write_bytes":
                    use.disk_written += int(value)
    return use


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")


def machine_s() -> float:
    """Processor seconds that all programs of the machine have used: all but idle and waiting."""
    user, nice, system, _, _, *rest = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / TICKS_PER_S


def sockets(ports: frozenset[int]) -> dict[tuple[str, str], tuple[int, int]]:
    """Bytes sent and received so far by each open connection to one of the ports; nothing where there is no ss."""
    try:
        text = subprocess.run(SS, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in text.splitlines():
        _, _, local, peer, *rest = line.split()
        if int(local.rpartition(":")[2]) not in ports:
            continue
        told = dict(part.split(":", 1) for part in rest if part.startswith(("bytes_acked:", "bytes_received:")))
        found[local, peer] = (int(told.get("bytes_acked", 0)), int(told.get("bytes_received", 0)))
    return found


def listening(port: int) -> set[int]:
    """Process ids of those that listen at a port; none where there is no ss."""
    try:
        text = subprocess.run(
            [*SS_LISTENING, f":{port}"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return {int(pid) for pid in re.findall(r"pid=(\d+)", text)}


def port_of(address: str) -> int:
    """The port of an address or URL."""
    return urlsplit(address if "//" in address else f"//{address}").port or 0
