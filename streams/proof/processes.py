"""The processor time and memory of processes and of the machine, from proc(5)."""

import os
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    """The processor seconds of a process so far, and its bytes of memory now."""

    cpu_s: float
    memory: int


def read(pid: int, name: str) -> str:
    """Return a file of the process. Raise OSError if the process has ended."""
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")


def stat_of(pid: int) -> Stat:
    """Return the use of a process, without its children. Raise OSError if it has ended."""
    fields = read(pid, "stat").rpartition(") ")[2].split()
    return Stat((int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[21]) * PAGE_BYTES)


def cpu_s(pid: int) -> float:
    """Return the processor seconds that the process has used. Raise OSError if it has ended."""
    return stat_of(pid).cpu_s


def children_of(pid: int) -> list[int]:
    """Return the ids of the process's children. Raise OSError if it has ended."""
    return [int(child) for child in read(pid, f"task/{pid}/children").split()]


def peak_mb(pid: int) -> float:
    """Return the peak memory of the process in MB (2^20 bytes)."""
    return int(next(line for line in read(pid, "status").splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def machine_s() -> float:
    """Return the machine's busy processor seconds since boot: all except idle and I/O wait."""
    user, nice, system, _, _, *rest = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / TICKS_PER_S
