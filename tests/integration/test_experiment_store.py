"""The view of experiments in Redis."""

import asyncio
import json
from typing import Any

import pytest

from infra.redis.experiments import MOST_CHANGES, SENT, SENT_S, ExperimentStore
from infra.redis.line import RedisLine
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.experiments import ExperimentState
from schemas.generation import decode_model, encode_model

ID = "6f1c1f4e-6d2b-4a55-9f5e-0d6b7d0a7c11"


def state(lp_id: str = "demo-a", **change: Any) -> ExperimentState:
    values = {
        "experiment_id": ID, "tenant_id": "demo", "lp_id": lp_id, "arms": [lp_id, "demo-b"], "requested_ms": 1,
        "epoch": 3, "number": 7, "status": "running", "weights": [0.5, 0.5], "started_ms": 1_795_451_375_000,
        "counted_from_ms": 0, "decided_ms": 1,
    }  # fmt: skip
    return ExperimentState.model_validate(values | change)


@pytest.fixture
def store(line: RedisLine) -> ExperimentStore:
    return ExperimentStore(line)


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        ({}, False),
        ({"number": 6}, False),
        ({"number": 10}, True),
        ({"epoch": 2, "number": 99}, False),
        ({"epoch": 2, "started_ms": 1_795_451_375_001}, False),
        ({"epoch": 10, "number": 0}, True),
        ({"started_ms": 1_795_451_375_001, "number": 0}, True),
        ({"started_ms": 1_795_451_374_999, "number": 99}, False),
    ],
)
async def test_only_a_newer_state_is_stored(store: ExperimentStore, change: dict[str, Any], stored: bool) -> None:
    first, second = state(), state(**change)
    assert await store.put([first]) == [True]
    assert await store.put([second]) == [stored]
    assert await store.get("demo-a") == encode_model(second if stored else first)


async def test_a_reader_gets_each_change_once(store: ExperimentStore) -> None:
    await store.put([state("demo-a"), state("demo-c")])
    last, values = await store.changed(0)
    assert {decode_model(ExperimentState, value).lp_id for value in values} == {"demo-a", "demo-c"}
    assert await store.changed(last) == (last, [])
    await store.put([state("demo-c", number=8), state("demo-a")])
    _, values = await store.changed(last)
    assert [decode_model(ExperimentState, value).number for value in values] == [8]


async def test_a_reader_sees_states_again_after_redis_has_lost_them(store: ExperimentStore, line: RedisLine) -> None:
    await store.put([state(number=number) for number in range(7, 12)])
    last, _ = await store.changed(0)
    await line.redis.flushall()
    await asyncio.sleep(0.05)  # changes are numbered by the time
    assert await store.changed(last) == (last, [])
    await store.put([state(number=12)])
    assert len((await store.changed(last))[1]) == 1


async def test_many_changes_are_read_in_bounded_parts(store: ExperimentStore) -> None:
    await store.put([state(f"demo-{number}") for number in range(MOST_CHANGES + 100)])
    last, values = await store.changed(0)
    assert len(values) == MOST_CHANGES
    assert len((await store.changed(last))[1]) == 100


async def test_a_forgotten_page_has_no_state(store: ExperimentStore) -> None:
    await store.put([state()])
    await store.forget("demo-a")
    assert (await store.get("demo-a"), await store.size(), (await store.changed(0))[1]) == (None, 0, [])


def pilot(lp_id: str, step: str) -> AutopilotState:
    values = {
        "tenant_id": "demo", "lp_id": lp_id, "epoch": 1, "number": 1, "on": True, "approval": True, "step": step,
        "command_id": ID, "autopilot_id": ID, "since_ms": 1,
    }  # fmt: skip
    return AutopilotState.model_validate(values)


async def test_pages_that_wait_for_approval_are_listed_until_another_step(store: ExperimentStore) -> None:
    waits = [pilot(f"demo-{name}", "waiting_approval") for name in "abc"]
    await store.put_pilots([*waits, pilot("demo-d", "testing")])
    assert await store.waiting() == {"demo-a", "demo-b", "demo-c"}
    assert await store.pilot("demo-a") == encode_model(waits[0])
    await store.put_pilots([pilot("demo-a", "ready")])
    await store.forget("demo-b")
    assert await store.waiting() == {"demo-c"} and await store.pilot("demo-b") is None


MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("first", "second", "newer"),
    [
        ((10, None), (20, None), True),
        ((20, None), (10, None), False),
        ((10, None), (10, None), True),
        ((10, 5), (20, 6), True),
        ((20, 6), (10, 5), False),
        ((20, 5), (10, 6), True),  # the clock of an edge is ahead: the log has the order
        ((10, 6), (20, 5), False),
        ((10, 6), (20, None), True),  # an edge of an earlier release
        ((20, None), (10, 6), False),
        ((10, 9_000), (10 + MINUTE_MS, 3), True),  # the log was lost and begins again
    ],
)
async def test_notes_that_cross_leave_the_last_command_of_the_log(
    store: ExperimentStore, first: tuple[int, int | None], second: tuple[int, int | None], newer: bool
) -> None:
    for requested_ms, offset in (first, second):
        place = {} if offset is None else {"offset": offset}
        await store.note("command:demo-a", json.dumps({"requested_ms": requested_ms, **place}).encode())
    stored = json.loads(await store.sent("command:demo-a") or b"")
    assert (stored["requested_ms"], stored.get("offset")) == (second if newer else first)
    assert await store.sent("command:demo-b") is None


async def test_a_note_is_the_command_and_ends_after_an_hour(store: ExperimentStore, line: RedisLine) -> None:
    values = {
        "command": "on",
        "command_id": ID,
        "tenant_id": "demo",
        "lp_id": "demo-a",
        "requested_ms": 1_795_451_375_000,
    }
    command = AutopilotCommand.model_validate(values)
    for _ in range(2):
        await store.note(command.key.decode(), encode_model(command))
        assert await store.sent(command.key.decode()) == encode_model(command)
    left_s: Any = await line.call(lambda redis: redis.ttl(SENT % command.key.decode()))
    assert 0 < left_s <= SENT_S
