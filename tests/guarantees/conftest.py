"""The stack and the installation of the guarantee tests, which are hard on both."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from harness import FULL, Traffic
from stacks import KAFKA, containers, stack_in

from infra.embedded.kafka import apache_obstacle
from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of

NODES = int(os.environ.get("LPSTREAM_TEST_KAFKA_NODES", "1"))


@pytest.fixture(scope="session")
def apache() -> None:
    """Apache Kafka only: Tansu forgets its log when it is killed."""
    if KAFKA == "tansu":
        pytest.skip("guarantees are those of Apache Kafka, and LPSTREAM_TEST_KAFKA says tansu")
    if not containers() and (obstacle := apache_obstacle()):
        pytest.skip(f"guarantees need Apache Kafka: {obstacle}")


def _shares(request: pytest.FixtureRequest) -> bool:
    return not FULL and not getattr(request.module, "OWN_STACK", False)


# In the full run each module has a log of its own: a rebuild then replays the records of its module only. The short run
# saves the start, which takes a minute on a busy machine.
@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, apache: None) -> Iterator[Stack]:
    if _shares(request):
        yield request.getfixturevalue("shared_stack")
        return
    with stack_in(tmp_path_factory.mktemp("guarantees"), nodes=NODES) as running:
        asyncio.run(prepare(settings_of(running)))
        yield running


@pytest.fixture(scope="module")
def installation(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Installation]:
    if _shares(request):
        yield request.getfixturevalue("shared_installation")
        return
    with Installation(stack, print) as services:
        yield services


@pytest.fixture
def traffic(stack: Stack, installation: Installation) -> Traffic:
    return Traffic(stack, installation)
