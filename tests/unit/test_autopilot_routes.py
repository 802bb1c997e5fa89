"""The routes of autopilot over HTTP, without stores."""

import json
from contextlib import nullcontext
from typing import Any
from uuid import UUID, uuid4

import pytest
from autopilot_steps import NOW, order, ready
from edge_listeners import RIVAL, RunningEdge, running_edge
from test_experiment_routes import ask

from processors.experiments.autopilot import Facts, step_after
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.errors import Retryable
from schemas.experiments import EXPERIMENTS
from schemas.generation import decode_model, encode_model
from streams.edge.http.errors import HttpError
from streams.edge.site.autopilot_commands import check_switched


def hold(edge: RunningEdge, state: AutopilotState | Exception) -> None:
    """Let Redis hold this state, or raise this error."""

    async def pilot(_: str) -> bytes:
        if isinstance(state, Exception):
            raise state
        return encode_model(state)

    edge.services.experiments.store.pilot = pilot


async def test_an_order_is_a_record_under_the_key_of_the_page() -> None:
    async with running_edge() as edge:
        status, answer = await ask(edge, "POST", "/autopilot/demo-a", {"command": "on", "approval": True})
        [(topic, record)] = edge.sender.sent
        command = decode_model(AutopilotCommand, record.value or b"")
        key = b"autopilot-command:demo-a"
        assert (status, topic, record.key, record.place_by) == (202, EXPERIMENTS, key, key)
        assert (command.command, command.approval, command.tenant_id) == ("on", True, "demo")
        assert answer == {"command_id": str(command.command_id), "lp_id": "demo-a", "command": "on"}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("demo-a", b"{", 400, "Bad Request"),
        ("demo-a", b"[]", 400, "Bad Request"),
        ("demo-a", b"", 400, "Bad Request"),
        ("demo-a", {}, 422, "command"),
        ("demo-a", {"command": "now"}, 422, "command"),
        ("demo-a", {"command": "on", "approval": "perhaps"}, 422, "approval"),
        ("demo-a", b" " * 9_000, 413, "larger"),
        ("demo-a", {"command": "on", "tenant_id": "acme"}, 403, "tenant_id"),
        ("other-a", {"command": "on"}, 404, "no published page"),
        ("demo-a", {"command": "approve"}, 409, "waits for approval"),
        ("demo-a", {"command": "reject"}, 409, "waits for approval"),
    ],
)
async def test_a_wrong_order_names_its_field_and_sends_nothing(path: str, body: Any, status: int, words: str) -> None:
    async with running_edge() as edge:
        found, answer = await ask(edge, "POST", f"/autopilot/{path}", body)
        assert (found, edge.sender.sent) == (status, []) and words in answer["message"]


async def test_a_client_cannot_choose_page_id_or_time() -> None:
    async with running_edge() as edge:
        odd = {"command": "off", "lp_id": "demo-z", "command_id": "x", "requested_ms": 5, "schema": 7}
        assert (await ask(edge, "POST", "/autopilot/demo-a", odd))[0] == 202
        command = decode_model(AutopilotCommand, edge.records[0].value or b"")
        assert command.lp_id == "demo-a" and command.requested_ms > 5


async def test_a_variant_that_waits_can_be_approved_or_rejected() -> None:
    async with running_edge() as edge:
        hold(edge, ready(approval=True))
        for command in ("approve", "reject"):
            assert (await ask(edge, "POST", "/autopilot/demo-a", {"command": command}))[0] == 202
        assert len(edge.records) == 2


async def test_an_answer_names_the_variant_that_waits() -> None:
    async with running_edge() as edge:
        hold(edge, state := ready(approval=True))
        for fields in ({}, {"variant_request_id": str(state.variant_request_id)}):
            assert (await ask(edge, "POST", "/autopilot/demo-a", {"command": "reject", **fields}))[0] == 202
            command = decode_model(AutopilotCommand, edge.records[-1].value or b"")
            assert command.variant_request_id == state.variant_request_id
        other = {"command": "approve", "variant_request_id": str(uuid4())}
        assert (await ask(edge, "POST", "/autopilot/demo-a", other))[0] == 409


async def test_an_answer_right_after_a_switch_is_refused_until_it_is_carried_out() -> None:
    async with running_edge() as edge:
        hold(edge, state := ready(approval=True))
        _, answer = await ask(edge, "POST", "/autopilot/demo-a", {"command": "off"})
        status, refusal = await ask(edge, "POST", "/autopilot/demo-a", {"command": "approve"})
        assert status == 409 and "off to autopilot is not carried out yet" in refusal["message"]
        hold(edge, state.model_copy(update={"command_id": UUID(answer["command_id"])}))
        assert (await ask(edge, "POST", "/autopilot/demo-a", {"command": "approve"}))[0] == 202


@pytest.mark.parametrize("later_ms", [-5_000, -1, 0, 1, 5_000])
@pytest.mark.parametrize(("noted", "last"), [("on", "off"), ("off", "on"), ("on", "on"), ("off", "reject")])
async def test_a_state_after_a_later_order_is_not_waited_for(noted: str, last: str, later_ms: int) -> None:
    """The note of the last order was lost, or an older note came after it."""
    given = order(last).model_copy(update={"requested_ms": NOW + later_ms})
    step = step_after(given, ready(approval=True), Facts(), epoch=7, now_ms=NOW + 200)
    assert step is not None
    async with running_edge() as edge:
        earlier = order(noted)
        await edge.services.experiments.note(earlier.key.decode(), encode_model(earlier))
        await check_switched(edge.services, "demo-a", step.state)
        newer = order(noted).model_copy(update={"requested_ms": NOW + 6_000})
        await edge.services.experiments.note(newer.key.decode(), encode_model(newer))
        with pytest.raises(HttpError, match="not carried out yet"):
            await check_switched(edge.services, "demo-a", step.state)


@pytest.mark.parametrize(("since_ms", "waits"), [(NOW + 1, False), (NOW - 1, True)])
async def test_a_state_of_an_earlier_release_is_dated_by_its_step(since_ms: int, waits: bool) -> None:
    fields = json.loads(encode_model(ready())) | {"since_ms": since_ms}
    del fields["command_ms"]
    state = decode_model(AutopilotState, json.dumps(fields).encode())
    noted = order("off")
    async with running_edge() as edge:
        await edge.services.experiments.note(noted.key.decode(), encode_model(noted))
        with pytest.raises(HttpError, match="not carried out yet") if waits else nullcontext():
            await check_switched(edge.services, "demo-a", state)


async def test_the_note_of_an_order_has_its_place_in_the_log() -> None:
    async with running_edge() as edge:
        await ask(edge, "POST", "/autopilot/demo-a", {"command": "on"})
        noted = json.loads(await edge.services.experiments.sent("autopilot-command:demo-a"))
        assert isinstance(noted.pop("offset"), int)
        assert noted == json.loads(edge.records[0].value or b"")


async def test_a_state_is_shown_to_its_tenant_only() -> None:
    async with running_edge() as edge:
        assert (await ask(edge, "GET", "/autopilot/demo-a"))[0] == 404
        hold(edge, ready(approval=True))
        status, answer = await ask(edge, "GET", "/autopilot/demo-a")
        assert (status, answer["step"], answer["on"]) == (200, "waiting_approval", True)
        for method in ("GET", "POST"):
            body = b'{"command":"off"}' if method == "POST" else None
            headers = {"Authorization": f"Bearer {RIVAL}"}
            url = f"{edge.private}/autopilot/demo-a"
            async with edge.session.request(method, url, data=body, headers=headers) as rival:
                assert rival.status == 404
            async with edge.session.request(method, url, data=body) as nobody:
                assert nobody.status == 401
        assert edge.records == []


async def test_an_order_off_needs_no_page() -> None:
    async with running_edge() as edge:
        assert (await ask(edge, "POST", "/autopilot/gone-a", {"command": "off"}))[0] == 202


async def test_redis_that_is_away_is_a_503() -> None:
    async with running_edge() as edge:
        hold(edge, Retryable("Redis is away"))
        assert (await ask(edge, "GET", "/autopilot/demo-a"))[0] == 503
        assert (await ask(edge, "POST", "/autopilot/demo-a", {"command": "approve"}))[0] == 503
        assert (await ask(edge, "POST", "/autopilot/demo-a", {"command": "off"}))[0] == 202, "off needs Kafka only"
