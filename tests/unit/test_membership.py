"""A worker's liveness probe: the consumer's thread and tasks, the app, and the group membership."""

import asyncio
from pathlib import Path
from types import SimpleNamespace as Stub
from typing import Any

import pytest
import yaml

from streams.workers.membership import MOST_JOINS, FenceWatch, failure_of

KUBERNETES = Path(__file__).parents[2] / "infra" / "kubernetes" / "base"


def task(*, done: bool = False) -> Any:
    return Stub(done=lambda: done)


def app(**dead: bool) -> Any:
    """Return a fake worker in which the given parts are dead."""
    consumer = Stub(
        _fetcher=Stub(_fetch_task=task(done=dead.get("fetcher", False))),
        _coordinator=Stub(_coordination_task=task(done=dead.get("coordinator", False))),
    )
    thread = Stub(_consumer=consumer, _thread=Stub(is_alive=lambda: not dead.get("thread", False)))
    return Stub(crashed=dead.get("app", False), crash_reason=ValueError("why"), consumer=Stub(_thread=thread))


def test_a_worker_is_healthy_while_all_parts_run() -> None:
    assert failure_of(app()) is None


def test_a_worker_is_healthy_before_its_consumer_starts() -> None:
    started = Stub(_consumer=None, _thread=None)
    assert failure_of(Stub(crashed=False, consumer=Stub(_thread=started))) is None


@pytest.mark.parametrize(
    ("part", "said"),
    [("fetcher", "fetch task"), ("coordinator", "coordination task"), ("thread", "thread"), ("app", "ValueError")],
)
def test_a_dead_part_is_named(part: str, said: str) -> None:
    assert said in (failure_of(app(**{part: True})) or "")


async def test_a_failed_asyncio_task_is_dead() -> None:
    async def fail() -> None:
        raise ValueError

    failed = asyncio.create_task(fail())
    await asyncio.wait([failed])
    worker = app()
    worker.consumer._thread._consumer._fetcher._fetch_task = failed
    assert failure_of(worker) == "the consumer's fetch task has ended"
    failed.exception()


def test_the_liveness_probe_of_all_workers_uses_healthz() -> None:
    patches = yaml.safe_load((KUBERNETES / "workers.yaml").read_text(encoding="utf-8"))
    probes = [patch["value"] for patch in patches if patch["path"].endswith("/livenessProbe")]
    assert [probe["httpGet"]["path"] for probe in probes] == ["/healthz"]


def test_a_worker_that_is_fenced_repeatedly_stops() -> None:
    worker = app()
    fence = FenceWatch(worker)
    errors = []
    for number in range(MOST_JOINS):
        worker.consumer._thread._consumer._coordinator.member_id = f"member-{number}"
        errors += [fence.error(), fence.error()]
    assert errors[:-2] == [None] * (2 * MOST_JOINS - 2)
    assert "LPSTREAM_KAFKA_GROUP_INSTANCE_ID" in str(errors[-2])
