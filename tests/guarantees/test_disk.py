"""ClickHouse with a full or read-only disk.

A separate real file system, so that only ClickHouse is affected.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness import Traffic, full_only, scaled

from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of
from streams.runtime.stores import open_writer

pytestmark = [full_only, pytest.mark.stack]
SIZE_MB = 256
BLOCK = 64 * 1024


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Mount a small disk in memory as the folder of ClickHouse's data."""
    folder = tmp_path_factory.mktemp("disk") / "clickhouse" / "store"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"a disk of its own must be mounted: {error}")
    if done.returncode != 0:
        pytest.skip(f"a disk of its own must be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def stack(disk: Path, apache: None) -> Iterator[Stack]:
    with Stack(disk.parents[1], "apache", print) as running:
        asyncio.run(prepare(settings_of(running)))
        yield running


async def test_events_are_counted_once_after_a_full_disk(
    traffic: Traffic, stack: Stack, installation: Installation, disk: Path
) -> None:
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(1, 3))):
            await asyncio.sleep(rng.uniform(2, 5))
            async with no_merges(stack):
                with filled(disk):
                    traffic.faults["disk full"] += 1
                    await asyncio.sleep(scaled(8, 30))
    await refused(installation, "NOT_ENOUGH_SPACE", "No space left")
    await traffic.assert_exact()


async def test_events_are_counted_once_after_a_read_only_disk(
    traffic: Traffic, stack: Stack, installation: Installation, disk: Path
) -> None:
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(1, 3))):
            await asyncio.sleep(rng.uniform(2, 5))
            async with no_merges(stack):
                await asyncio.to_thread(freeze, disk, "+i")
                traffic.faults["disk read-only"] += 1
                await asyncio.sleep(scaled(8, 30))
                await asyncio.to_thread(freeze, disk, "-i")
    await refused(installation, "Operation not permitted")
    await traffic.assert_exact()


@contextlib.asynccontextmanager
async def no_merges(stack: Stack) -> AsyncIterator[None]:
    """Stop merges while the block runs.

    When a write of a merge fails, ClickHouse 26.9 continues and replaces whole parts by a part with empty files.
    It reserves the space of a merge, so this needs another program on the disk: give ClickHouse its own disk.
    """
    clickhouse = open_writer(settings_of(stack))
    await clickhouse.command("SYSTEM STOP MERGES")
    try:
        yield
    finally:
        await clickhouse.command("SYSTEM START MERGES")
        await clickhouse.close()


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill the disk while the block runs."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # until "no space left on device"
            while True:
                file.write(bytes(BLOCK))
        yield
    finally:
        ballast.unlink()


def freeze(disk: Path, flag: str) -> None:
    """Set or clear the immutable flag on the disk.

    A mount cannot become read-only while a file on it is open.
    """
    subprocess.run(["chattr", "-R", "-f", flag, str(disk)], check=False)


async def refused(installation: Installation, *texts: str) -> None:
    """Assert that the worker logged one of the errors."""
    log = installation.children["heatmap"].log.read_text(encoding="utf-8")
    assert any(text in log for text in texts)
