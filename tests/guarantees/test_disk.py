"""ClickHouse's disk full, and read-only: a real file system of its own, so that only ClickHouse is hit."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness import Traffic, full_only, scaled

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of

pytestmark = [full_only, pytest.mark.stack, pytest.mark.timeout(600)]
SIZE_MB = 256
BLOCK = 64 * 1024


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of ClickHouse's data, on a small disk in memory."""
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


@pytest.fixture(scope="module")
def installation(stack: Stack) -> Iterator[Installation]:
    services = Installation(stack, print)
    try:
        services.start()
        yield services
    finally:
        services.stop()


async def test_disk_full(traffic: Traffic, stack: Stack, installation: Installation, disk: Path) -> None:
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(1, 3))):
            await asyncio.sleep(rng.uniform(2, 5))
            async with no_merges(stack):
                with filled(disk):
                    traffic.faults["disk full"] += 1
                    await asyncio.sleep(scaled(8, 30))
    await refused(installation, "NOT_ENOUGH_SPACE", "No space left")
    await traffic.assert_exact()


async def test_disk_read_only(traffic: Traffic, stack: Stack, installation: Installation, disk: Path) -> None:
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
    """Merges stand still while the block runs.

    ClickHouse 26.9 goes on when a write of a merge fails, and puts a part with empty files in the place of whole ones.
    It reserves the room that a merge needs, so that this takes another program on its disk: give it one of its own.
    """
    clickhouse = ClickHouse.open(stack.addresses.clickhouse_url, "lpstream", stack.addresses.clickhouse_password)
    await clickhouse.command("SYSTEM STOP MERGES")
    try:
        yield
    finally:
        await clickhouse.command("SYSTEM START MERGES")
        await clickhouse.close()


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """No room on the disk while the block runs."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # the disk's own "no space left"
            while True:
                file.write(bytes(BLOCK))
        yield
    finally:
        ballast.unlink()


def freeze(disk: Path, flag: str) -> None:
    """Let nothing be made on the disk, or let it again. A mount cannot become read-only while a file is open on it."""
    subprocess.run(["chattr", "-R", "-f", flag, str(disk)], check=False)


async def refused(installation: Installation, *texts: str) -> None:
    """The worker was told, and said so."""
    said = installation.children["heatmap"].log.read_text(encoding="utf-8")
    assert any(text in said for text in texts)
