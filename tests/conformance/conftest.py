"""Fixtures of the conformance suite.

It tests this checkout's edge, or any REST proxy named by the environment.

    LPSTREAM_CONFORMANCE_URL       base URL of the proxy; unset: an edge is started on the embedded stack
    LPSTREAM_CONFORMANCE_KAFKA     its brokers; the suite creates and reads topics there
    LPSTREAM_CONFORMANCE_REGISTRY  its schema registry; unset: Avro is not tested
    LPSTREAM_CONFORMANCE_TOKEN     bearer token, if the proxy needs a token
    LPSTREAM_CONFORMANCE_ORIGIN    an origin that the proxy allows
    LPSTREAM_CONFORMANCE_DIALECT   ours, confluent or karapace: the known deviations to accept

Each test names the lines of the checklist that it covers; the summary at the end counts them.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import registries
from aiokafka.admin import NewTopic
from conformance.proxy import PARTITIONS, TOPICS, Proxy
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.admin import open_admin
from streams.local.prepare import prepare, settings_of
from streams.proof.edge_process import edge_process

NUMBERS = (*range(1, 7), 8, 11, 12, 13, *range(15, 30), 32, 33, *range(35, 48), 49)
MUST = {f"M{number:02d}" for number in NUMBERS}
ENV = "LPSTREAM_CONFORMANCE_"
FULL = os.environ.get("LPSTREAM_GUARANTEES") == "full"


@pytest.fixture(scope="session")
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Return the proxy that the environment names, or start an edge with a registry."""
    url = os.environ.get(f"{ENV}URL")
    if url is None:
        yield from _edge(request.getfixturevalue("stack"), tmp_path_factory.mktemp("conformance"))
        return
    kafka, registry, token, origin, dialect = (
        os.environ.get(f"{ENV}{name}") for name in ("KAFKA", "REGISTRY", "TOKEN", "ORIGIN", "DIALECT")
    )
    assert kafka, f"give {ENV}KAFKA"
    yield Proxy(url, url, kafka, registry, dialect or "confluent", token, origin)


def _edge(stack: Stack, folder: Path) -> Iterator[Proxy]:
    asyncio.run(prepare(settings_of(stack)))
    with contextlib.ExitStack() as ending:
        small_registry = None
        if FULL:
            registries.fetch()
        if registries.is_fetched():
            registry = ending.enter_context(registries.apicurio(folder))
        else:
            small_registry = registries.SmallRegistry()
            ending.callback(small_registry.stop)
            registry = small_registry.url
        settings = {
            "LPSTREAM_PROXY_TOPICS": json.dumps(TOPICS),
            "LPSTREAM_SCHEMA_REGISTRY_URL": registry,
            "LPSTREAM_EDGE_CLIENT_RATE": "0",
            "LPSTREAM_EDGE_CLIENT_BYTE_RATE": "0",
            "LPSTREAM_PRODUCE_TIMEOUT_S": "3",
        }
        edge = ending.enter_context(edge_process(stack, "conformance", settings))
        kafka = stack.addresses.kafka
        yield Proxy(edge.api_url, edge.url, kafka, registry, "ours", edge.token, edge.url, small_registry)


@pytest_asyncio.fixture
async def topic(proxy: Proxy) -> str:
    """Create an empty topic with three partitions."""
    name = next(proxy.topics)
    async with open_admin(proxy.kafka) as admin:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        async with asyncio.timeout(PATIENCE_S):
            while name not in await admin.list_topics():
                await asyncio.sleep(0.05)
    return name


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "covers(*lines): lines of the conformance checklist that a test covers")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    if not any(name == "covers" for name, _ in item.user_properties):
        lines = [line for mark in item.iter_markers("covers") for line in mark.args]
        item.user_properties.append(("covers", lines))
    yield


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many lines of the checklist were covered and passed."""
    covered: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
    for outcome, lines in covered.items():
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == "covers":
                    lines.update(value)
    passed = covered["passed"] - covered["failed"]
    if not passed | covered["failed"]:
        return
    nice = {line for line in passed if line.startswith("N")}
    terminalreporter.write_line(
        f"conformance: {len(passed & MUST)} of {len(MUST)} MUST lines pass, and {len(nice)} NICE ones"
        f"; failed: {sorted(covered['failed']) or 'none'}"
        f"; not run: {sorted(MUST - passed - covered['failed']) or 'none'}"
    )
