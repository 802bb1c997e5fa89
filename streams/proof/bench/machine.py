"""`lpstream bench --only machine`: the processor time of rested memory, against memory in use.

Some virtual machines keep the page tables of their guests outside (shadow paging) and drop the entries of memory that
rests. Its next use then costs a fault in the host, which counts as processor time of our process. There a process that
wakes often for little work costs many times its work, so figures at a low rate differ between machines far more than
figures at full speed.
"""

import os
import time
from mmap import mmap
from statistics import median

import numpy as np

from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.processes import PAGE_BYTES

PAGES, REST_S, TOUCHES = 2_000, 0.05, 20


def machine(*, rounds: int, say: Say = quiet) -> list[Row]:
    """Return the row `machine`: µs for a page of memory that rested for REST_S, and for a page in use."""
    say(f"{PAGES:,} pages of memory, after {REST_S * 1_000:g} ms of sleep and without")
    # not by np.zeros: NumPy asks for huge pages, which hide the cost
    memory = np.frombuffer(mmap(-1, PAGES * PAGE_BYTES), np.uint8).reshape(PAGES, PAGE_BYTES)
    memory[:, 0] = 1
    rested, used = [], []
    for _ in range(rounds * TOUCHES):
        time.sleep(REST_S)
        rested.append(_touch(memory))
        used.append(_touch(memory))
    detail = {"pages": PAGES, "rest_ms": REST_S * 1_000, "cores": os.cpu_count()}
    return [row("machine", "a page of memory in use", median(rested), "µs a page", median(used), detail, digits=3)]


def _touch(memory: np.ndarray) -> float:
    """Write to each page; return the processor time in µs a page."""
    started = time.thread_time()
    memory[:, 0] += 1
    return (time.thread_time() - started) * 1e6 / PAGES
