"""One embedded stack with its services for all tests that need servers; the header says which."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from font_browser import CHROMIUM
from stacks import described, stack_in

from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of

# The share of a group of files before which the browsers' files are spread: the last files are short, so the processes
# end at nearly the same time.
BROWSERS_UNTIL = 0.7
# The fixtures that start the stack that tests share, and the order of the files by their need of a stack.
STACKS, NEEDS = {"stack", "proxy"}, ("none", "own", "shared")

# An example that takes long on a busy machine is no failure. The short run draws the same examples each time, so that a
# change fails for its own faults alone; the full run searches anew.
FULL = os.environ.get("LPSTREAM_GUARANTEES") == "full"
hypothesis.settings.register_profile("lpstream", deadline=None, derandomize=not FULL)
hypothesis.settings.load_profile("lpstream")

# Brokers of the short run live for a minute or two. Java's quick compiler starts them in half of the processor time.
if not FULL:
    os.environ.setdefault("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")


def pytest_report_header() -> list[str]:
    chromium = CHROMIUM or "none found: browser tests are skipped"
    firefox = shutil.which("firefox-esr") or shutil.which("firefox") or "none found: its browser tests are skipped"
    return [
        f"stack: {described()}",
        f"chromium: {chromium}",
        f"firefox: {firefox}",
    ]


def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than processors, because many tests wait.

    Each process starts a stack, so four are the most.
    """
    return min(4, (os.cpu_count() or 1) + 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files without a stack first, then files with stacks of their own, then those that share one.

    An idle stack takes processor time until the run ends. The browsers' files mostly wait, so they are spread among
    files that need the processor.
    """
    files: dict[Path, int] = {}
    for item in items:
        needs = "shared" if STACKS & set(getattr(item, "fixturenames", ())) else "none"
        if needs == "shared" and hasattr(getattr(item, "module", None), "OWN_STACK"):
            needs = "own"
        files[item.path] = max(files.get(item.path, 0), NEEDS.index(needs))
    places: dict[Path, tuple[int, float]] = {}
    for rank in range(len(NEEDS)):
        group = [file for file, found in files.items() if found == rank]
        browsers = [file for file in group if file.parent.name == "browser"]
        others = [file for file in group if file.parent.name != "browser"]
        for row, until in ((browsers, BROWSERS_UNTIL), (others, 1.0)):
            places |= {file: (rank, until * place / len(row)) for place, file in enumerate(row)}
    items.sort(key=lambda item: places[item.path])


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_in(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def shared_installation(shared_stack: Stack) -> Iterator[Installation]:
    asyncio.run(prepare(settings_of(shared_stack)))
    with Installation(shared_stack, print) as services:
        yield services


# a module may replace these by its own
@pytest.fixture(scope="session")
def stack(shared_stack: Stack) -> Stack:
    return shared_stack


@pytest.fixture(scope="session")
def installation(shared_installation: Installation) -> Installation:
    return shared_installation
