"""A stack and an installation of their own for the guarantee tests: they are hard on both."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from harness import Traffic
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


# each module has a log of its own: what a rebuild replays is then what its module has sent
@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, apache: None) -> Iterator[Stack]:
    with stack_in(tmp_path_factory.mktemp("guarantees"), nodes=NODES) as running:
        asyncio.run(prepare(settings_of(running)))
        yield running


@pytest.fixture(scope="module")
def installation(stack: Stack) -> Iterator[Installation]:
    with Installation(stack, print) as services:
        yield services


@pytest.fixture
def traffic(stack: Stack, installation: Installation) -> Traffic:
    return Traffic(stack, installation)
