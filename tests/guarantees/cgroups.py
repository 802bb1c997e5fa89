"""Memory limits for a process, as in a container, on machines that allow control groups."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Files of cgroup v1 and v2: https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, .../cgroup-v2.html
V1 = (ROOT / "memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes")
V2 = (ROOT, "memory.max", "memory.peak")
MB = 2**20


@contextlib.contextmanager
def limited(pid: int, most: int) -> Iterator[Callable[[], int] | None]:
    """Move the process into a group of `most` bytes; yield a call that returns its peak in MB.

    The kernel kills the process when it needs more. Yield None where groups cannot be made.
    """
    root, limit, peak = V1 if V1[0].is_dir() else V2
    group = root / f"lpstream-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
        (group / limit).write_text(str(most), "ascii")
        (group / "cgroup.procs").write_text(str(pid), "ascii")
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield None
        return
    try:
        yield lambda: int((group / peak).read_text("ascii")) // MB
    finally:
        for line in (group / "cgroup.procs").read_text("ascii").split():
            (root / "cgroup.procs").write_text(line, "ascii")
        group.rmdir()
