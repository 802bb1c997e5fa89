"""One embedded stack with its services for all tests that need servers; the header says which."""

import asyncio
import os
import shutil
from collections.abc import Iterator

import pytest

from infra.embedded.kafka import apache_obstacle
from infra.embedded.stack import Stack
from streams.cli.services import prepare
from streams.cli.up import settings_of
from streams.services import Installation

KAFKA = os.environ.get("LPSTREAM_TEST_KAFKA", "auto")


def pytest_report_header() -> list[str]:
    obstacle = apache_obstacle() if KAFKA == "auto" else None
    broker = f"Tansu: {obstacle}" if obstacle else {"tansu": "Tansu"}.get(KAFKA, "Apache Kafka")
    chromium = shutil.which("chromium") or "none found: browser tests are skipped"
    return [
        f"stack: embedded ({broker}, ClickHouse over chDB, Valkey, SeaweedFS)",
        f"chromium: {chromium}",
    ]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), KAFKA, print) as running:  # type: ignore[arg-type]
        yield running


@pytest.fixture(scope="session")
def installation(stack: Stack) -> Iterator[Installation]:
    asyncio.run(prepare(settings_of(stack)))
    services = Installation(stack, print)
    try:
        services.start()
        yield services
    finally:
        services.stop()
