"""The routes of experiments over HTTP, without stores."""

import json
from typing import Any
from uuid import uuid4

import pytest
from edge_listeners import RIVAL, TOKEN, RunningEdge, running_edge

from processors.experiments.decisions import begun, handled
from schemas.errors import Retryable
from schemas.experiments import EXPERIMENTS, ExperimentCommand, ExperimentState
from schemas.generation import decode_model
from streams.cli.experiment import _carried_out

DESIGN = {"lp_id": "demo-a", "arms": ["demo-a", "demo-b"], "goals": ["form"]}
SOME = str(uuid4())


def running(**change: Any) -> ExperimentState:
    values = DESIGN | {
        "experiment_id": str(uuid4()), "tenant_id": "demo", "requested_ms": 1, "epoch": 1, "number": 0,
        "status": "running", "weights": [0.5, 0.5], "started_ms": 1, "counted_from_ms": 1, "decided_ms": 1,
    }  # fmt: skip
    return ExperimentState.model_validate(values | change)


async def ask(edge: RunningEdge, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    async with edge.session.request(method, edge.private + path, data=data, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_start_is_a_record_under_the_key_of_the_page() -> None:
    async with running_edge() as edge:
        status, answer = await ask(edge, "POST", "/experiments", DESIGN)
        assert status == 202 and answer["lp_id"] == "demo-a"
        [(topic, record)] = edge.sender.sent
        command = decode_model(ExperimentCommand, record.value or b"")
        assert (topic, record.key, record.place_by) == (EXPERIMENTS, b"command:demo-a", b"command:demo-a")
        assert (str(command.experiment_id), command.tenant_id, command.arms) == (
            answer["experiment_id"], "demo", DESIGN["arms"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "Bad Request"),
        (b"[]", 400, "Bad Request"),
        (b"{}", 422, "lp_id"),
        (b" " * 9_000, 413, "larger"),
        (DESIGN | {"arms": ["demo-a"]}, 422, "arms"),
        (DESIGN | {"arms": ["demo-b", "demo-a"]}, 422, "arms: the first arm is the page itself"),
        (DESIGN | {"arms": ["demo-a", "acme-x"]}, 422, "arms[1]: there is no page acme-x"),
        (DESIGN | {"goals": ["sale"]}, 422, "goals.0"),
        (DESIGN | {"floor": 0.6}, 422, "floor"),
        (DESIGN | {"floor": 0.5, "arms": ["demo-a", "demo-b", "demo-c"]}, 422, "floor: 3 arms"),
        (DESIGN | {"tenant_id": "acme"}, 403, "tenant_id"),
        (DESIGN | {"experiment_id": "1"}, 422, "experiment_id"),
    ],
)
async def test_a_wrong_start_names_its_field_and_sends_nothing(body: Any, status: int, words: str) -> None:
    async with running_edge() as edge:
        found, answer = await ask(edge, "POST", "/experiments", body)
        assert (found, edge.sender.sent) == (status, []) and words in answer["message"]
        assert "Value error" not in answer["message"]


async def test_a_client_cannot_choose_command_or_time() -> None:
    async with running_edge() as edge:
        odd = DESIGN | {"command": "stop", "requested_ms": 5, "schema": 7}
        assert (await ask(edge, "POST", "/experiments", odd))[0] == 202
        command = decode_model(ExperimentCommand, edge.records[0].value or b"")
        assert command.command == "start" and command.requested_ms > 5


async def test_a_page_has_one_experiment_at_a_time() -> None:
    async with running_edge() as edge:
        first = running()
        edge.services.experiments.take([first])
        assert (await ask(edge, "POST", "/experiments", DESIGN))[0] == 409
        other = {"lp_id": "demo-x", "arms": ["demo-x", "demo-b"]}
        status, answer = await ask(edge, "POST", "/experiments", other)
        assert status == 409 and "demo-b is part of the experiment on demo-a" in answer["message"]
        again = DESIGN | {"experiment_id": str(first.experiment_id)}
        assert (await ask(edge, "POST", "/experiments", again))[0] == 202


async def test_an_erased_page_holds_no_arm() -> None:
    async with running_edge() as edge:
        edge.services.experiments.take([running(lp_id="erased-a", arms=["erased-a", "demo-b"])])
        assert (await ask(edge, "POST", "/experiments", DESIGN))[0] == 202
        async with edge.session.get(f"{edge.public}/lp/demo-b", allow_redirects=False) as answer:
            assert answer.status == 200
        for method, path in (("GET", "/experiments/erased-a"), ("POST", "/experiments/erased-a/stop")):
            assert (await ask(edge, method, path))[0] == 404


async def test_the_next_experiment_must_name_the_winner() -> None:
    async with running_edge() as edge:
        edge.services.experiments.take([running(status="decided", winner="demo-b", weights=[0, 1])])
        lost = DESIGN | {"arms": ["demo-a", "demo-c"]}
        status, answer = await ask(edge, "POST", "/experiments", lost)
        assert status == 409 and "demo-b, which is the page now" in answer["message"]
        kept = DESIGN | {"arms": ["demo-a", "demo-b", "demo-c"]}
        assert (await ask(edge, "POST", "/experiments", kept))[0] == 202
        edge.services.experiments.take([running(epoch=2, status="stopped", fallback="demo-b", weights=[0, 1])])
        assert (await ask(edge, "POST", "/experiments", lost))[0] == 409


async def test_a_stop_is_of_the_experiment_that_runs() -> None:
    async with running_edge() as edge:
        assert (await ask(edge, "POST", "/experiments/demo-a/stop"))[0] == 404
        state = running()
        edge.services.experiments.take([state])
        assert (await ask(edge, "POST", "/experiments/demo-a/stop"))[0] == 202
        command = decode_model(ExperimentCommand, edge.records[0].value or b"")
        assert (command.command, command.experiment_id, command.takes_back) == ("stop", state.experiment_id, None)


STOP = "/experiments/demo-a/stop"


@pytest.mark.parametrize(
    "before",
    [
        None,
        {"status": "decided", "winner": "demo-b"},
        {"status": "stopped", "fallback": "demo-b"},
        {"status": "stopped"},
    ],
)
async def test_a_stop_right_after_a_start_is_of_the_new_experiment(before: dict[str, Any] | None) -> None:
    async with running_edge() as edge:
        if before is not None:
            edge.services.experiments.take([running(**before)])
        started = (await ask(edge, "POST", "/experiments", DESIGN))[1]["experiment_id"]
        status, answer = await ask(edge, "POST", STOP)
        assert (status, answer["experiment_id"]) == (202, started)
        start, stop = (decode_model(ExperimentCommand, record.value or b"") for record in edge.records)
        assert (stop.command, stop.takes_back, stop.arms) == ("stop", None, start.arms)
        state = begun(start, None, epoch=1, now_ms=start.requested_ms + 5, settle_s=0)
        assert not handled(stop, state)


async def test_commands_for_a_state_that_is_not_shown_yet_are_refused() -> None:
    async with running_edge() as edge:
        assert (await ask(edge, "POST", "/experiments", DESIGN))[0] == 202
        status, answer = await ask(edge, "POST", "/experiments", DESIGN)
        assert status == 409 and "is not carried out yet" in answer["message"]
        edge.services.experiments.take([ran := running(fallback="demo-b")])
        edge.services.experiments.store.commands.clear()
        assert (await ask(edge, "POST", STOP))[0] == 202
        assert (await ask(edge, "POST", STOP))[0] == 409, "the second stop would take the winner back"
        ended = ran.model_copy(update={"status": "stopped", "number": 1, "weights": [0.0, 1.0]})
        edge.services.experiments.take([ended])
        assert (await ask(edge, "POST", STOP))[1]["takes_back"] == "demo-b"
        assert len(edge.records) == 3


async def test_a_stop_that_names_its_experiment_ends_nothing_else() -> None:
    async with running_edge() as edge:
        edge.services.experiments.take([ran := running()])
        order = {"experiment_id": str(ran.experiment_id), "intent": "stop"}
        assert (await ask(edge, "POST", STOP, order | {"intent": "take_back"}))[0] == 409
        assert (await ask(edge, "POST", STOP, order | {"experiment_id": str(uuid4())}))[0] == 409
        first, again = [await ask(edge, "POST", STOP, order) for _ in range(2)]
        assert first == again and first[0] == 202 and len(edge.records) == 1, "a repeated order is the same order"
        decided = ran.model_copy(update={"status": "decided", "winner": "demo-b", "number": 1, "weights": [0.0, 1.0]})
        edge.services.experiments.take([decided])
        status, answer = await ask(edge, "POST", STOP, order)
        assert status == 409 and "intent: it is take_back now, not stop" in answer["message"]
        assert (await ask(edge, "POST", STOP, order | {"intent": "take_back"}))[1]["takes_back"] == "demo-b"
        assert len(edge.records) == 2


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "Bad Request"),
        (b"[]", 400, "Bad Request"),
        ({"intent": "end"}, 422, "intent"),
        ({"experiment_id": "1"}, 422, "experiment_id"),
        ({"intend": "stop"}, 422, "intend"),
        ({"experimentId": SOME, "intent": "stop"}, 422, "experimentId"),
        ({"intent": "stop"}, 422, "give both experiment_id and intent"),
        ({"experiment_id": SOME}, 422, "give both experiment_id and intent"),
        ({"experiment_id": SOME, "intent": None}, 422, "give both experiment_id and intent"),
        ({"tenant_id": "acme"}, 403, "tenant_id"),
    ],
)
async def test_a_stop_with_a_wrong_field_is_refused(body: Any, status: int, words: str) -> None:
    async with running_edge() as edge:
        edge.services.experiments.take([running(status="decided", winner="demo-b", weights=[0, 1])])
        found, answer = await ask(edge, "POST", STOP, body)
        assert (found, edge.records) == (status, []) and words in answer["message"]
        assert "Value error" not in answer["message"]


@pytest.mark.parametrize("body", [{}, {"tenant_id": "demo"}, {"schema": 1, "experiment_id": None, "intent": None}])
async def test_a_stop_without_its_fields_is_for_the_state_that_it_meets(body: Any) -> None:
    async with running_edge() as edge:
        edge.services.experiments.take([running()])
        assert ((await ask(edge, "POST", STOP, body))[0], len(edge.records)) == (202, 1)


async def test_a_repeated_start_is_no_other_command() -> None:
    async with running_edge() as edge:
        again = DESIGN | {"experiment_id": str(uuid4())}
        assert [(await ask(edge, "POST", "/experiments", again))[0] for _ in range(2)] == [202, 202]


async def test_commands_are_known_to_the_edge_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise Retryable("Redis is away")

    async with running_edge() as edge:
        for name in ("note", "sent", "get"):
            monkeypatch.setattr(edge.services.experiments.store, name, away)
        assert (await ask(edge, "POST", "/experiments", DESIGN))[0] == 202
        assert (await ask(edge, "POST", "/experiments", DESIGN))[0] == 409


async def test_another_tenant_stops_no_start() -> None:
    async with running_edge() as edge:
        assert (await ask(edge, "POST", "/experiments", DESIGN))[0] == 202
        async with edge.session.post(edge.private + STOP, headers={"Authorization": f"Bearer {RIVAL}"}) as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"status": "running", "fallback": "demo-b"}, None),
        ({"status": "stopped", "fallback": "demo-b"}, "demo-b"),
        ({"status": "decided", "winner": "demo-b"}, "demo-b"),
        ({"status": "decided", "winner": "demo-a"}, None),
        ({"status": "stopped"}, None),
    ],
)
async def test_a_stop_names_the_winner_that_it_takes_back(change: dict[str, Any], taken: str | None) -> None:
    async with running_edge() as edge:
        edge.services.experiments.take([running(**change)])
        answer = await ask(edge, "POST", "/experiments/demo-a/stop")
        command = decode_model(ExperimentCommand, edge.records[0].value or b"")
        assert (command.takes_back, answer[1].get("takes_back")) == (taken, taken)


async def test_a_state_is_shown_with_its_history() -> None:
    async with running_edge() as edge:
        assert (await ask(edge, "GET", "/experiments/demo-a"))[0] == 404
        edge.services.experiments.take([running()])
        status, answer = await ask(edge, "GET", "/experiments/demo-a")
        assert (status, answer["status"], answer["history"]) == (200, "running", [])


async def test_a_page_is_served_over_http_by_its_experiment() -> None:
    async with running_edge() as edge:
        async with edge.session.get(f"{edge.public}/lp/demo-a") as answer:
            assert answer.status == 200 and "Set-Cookie" not in answer.headers
        edge.services.experiments.take([running(weights=[0, 1])])
        async with edge.session.get(f"{edge.public}/lp/demo-a") as answer:
            assert "demo-b" in await answer.text()
            assert answer.headers["Cache-Control"] == "private, no-store"
            assert answer.headers["Set-Cookie"].startswith("lpa=demo-b; Path=/lp/demo-a; Max-Age=2592000; HttpOnly")
        async with edge.session.get(f"{edge.public}/lp/demo-b", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/lp/demo-a")
        campaign = "?utm_source=line&q=%E6%9C%A8%0d%0aX:1"
        async with edge.session.get(f"{edge.public}/lp/demo-b{campaign}", allow_redirects=False) as answer:
            assert answer.headers["Location"].startswith("/lp/demo-a?utm_source=line&q=")
            assert "X" not in answer.headers
        async with edge.session.head(f"{edge.public}/lp/demo-a") as answer:
            assert answer.status == 200 and "Set-Cookie" not in answer.headers


async def test_the_public_listener_has_no_commands() -> None:
    async with running_edge() as edge, edge.session.post(f"{edge.public}/experiments", json=DESIGN) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("state", "taken", "done"),
    [
        ({"status": "running", "fallback": "demo-b"}, None, False),
        ({"status": "stopped", "fallback": "demo-b"}, None, True),
        ({"status": "stopped", "fallback": "demo-b"}, "demo-b", False),
        ({"status": "stopped", "fallback": None}, "demo-b", True),
        ({"status": "decided", "winner": "demo-b"}, None, True),
        ({"status": "decided", "winner": "demo-a"}, None, False),
        ({"status": "decided", "winner": "demo-b"}, "demo-b", False),
    ],
)
def test_the_command_line_waits_until_the_winner_is_taken_back(
    state: dict[str, Any], taken: str | None, done: bool
) -> None:
    accepted = {"command": "stop", "experiment_id": "x"} | ({"takes_back": taken} if taken else {})
    assert _carried_out({"experiment_id": "x", "lp_id": "demo-a", "winner": None, **state}, accepted) is done
