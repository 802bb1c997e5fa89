"""The routes of experiments: start, show and stop, for the tenant that owns the page."""

import contextlib
import time
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from aiohttp import web

from infra.tenants import Caller
from processors.experiments.decisions import busy, under_way
from schemas.autopilot import AutopilotCommand
from schemas.errors import DecodeError, Retryable
from schemas.experiments import EXPERIMENTS, ExperimentCommand, ExperimentState, PastWeights, StopOrder
from schemas.generation import decode_model, encode_model, model_from_object
from streams.edge.beacons.sender import Record
from streams.edge.http.bodies import read_body
from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services
from streams.edge.site.published import made, published

MOST_BYTES = 8_192
ID = "experiment_id"
Command = TypeVar("Command", ExperimentCommand, AutopilotCommand, StopOrder)
_fields = msgspec.json.Decoder(dict[str, Any])


async def start(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Start an experiment on the caller's page. Another request with its id changes nothing."""
    caller = known(caller)
    fields = fields_of(await body_of(request, services, caller), caller)
    return _accepted(await begin(services, caller, fields))


async def begin(services: Services, caller: Caller, fields: dict[str, Any]) -> ExperimentCommand:
    """Send the command to start an experiment, and return it.

    Raise HttpError 422 for a wrong field, 409 if the experiment cannot start now.
    """
    given = {ID: str(uuid4())} | fields | own(caller) | {"command": "start"}
    command = model_of(ExperimentCommand, given)
    await _check_arms(command, services, caller)
    state, _ = await _newest(services, command.lp_id)
    sent = await _sent(services, command.lp_id, state)
    if command.experiment_id not in (each.experiment_id for each in (sent, state) if each is not None):
        if sent is not None:
            raise _too_soon(sent)
        await _check_free(command, state, services)
    await send(services, command)
    return command


async def body_of(request: web.BaseRequest, services: Services, caller: Caller) -> bytes:
    """Return the body of a command. The request counts against the rate of the caller's tenant."""
    account = services.admission.tenant(caller.tenant.id)
    with services.admission.room() as room:
        return await read_body(request, services.settings, room, limit=MOST_BYTES, account=account)


async def stop(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Stop the page's experiment. While none runs, take the winner back: the page is itself again."""
    caller = known(caller)
    body = await body_of(request, services, caller)
    given = fields_of(body, caller) if body else {}
    order = model_of(StopOrder, {name: value for name, value in given.items() if name not in own(caller)})
    return _accepted(await end(services, caller, lp_id, order))


async def end(services: Services, caller: Caller, lp_id: str, order: StopOrder) -> ExperimentCommand:
    """Send the command to stop the page's experiment, also if it starts at this moment.

    Return the command. An order that names its experiment and intent is sent once, also if it is repeated before it is
    carried out.
    Raise HttpError 404 if the caller has no experiment. Raise 409 if the order names another experiment or intent, or
    if another stop is not carried out yet: the next stop would take the winner back.
    """
    state = await _known_to(services, caller, lp_id)
    sent = await _sent(services, lp_id, state) if caller.tenant.owns(lp_id) else None
    if (stops := sent or state) is None:
        raise _none(lp_id)
    runs = state is None or state.experiment_id != stops.experiment_id or state.status == "running"
    now = StopOrder(experiment_id=stops.experiment_id, intent="stop" if runs else "take_back")
    if sent is not None and sent.command == "stop":
        if order == now:
            return sent
        raise _too_soon(sent)
    _check_seen(order, now, lp_id)
    services.admission.tenant(stops.tenant_id).pay_records(1)
    fields = stops.model_dump(include=set(ExperimentCommand.model_fields))
    taken = stops.shown if isinstance(stops, ExperimentState) and not runs and stops.shown != lp_id else None
    command = ExperimentCommand(**fields | {"command": "stop", "requested_ms": _now_ms(), "takes_back": taken})
    await send(services, command)
    return command


async def _sent(services: Services, lp_id: str, state: ExperimentState | None) -> ExperimentCommand | None:
    """Return the last command for the page if the optimizer has not come to it yet: `state` is older."""
    stored = await services.experiments.sent(f"command:{lp_id}")
    command = decode_model(ExperimentCommand, stored) if stored is not None else None
    if command is None or not under_way(command, state) or await published(services, lp_id) is None:
        return None
    return command


def _check_seen(order: StopOrder, now: StopOrder, lp_id: str) -> None:
    """Raise HttpError 409 if an order names another experiment or intent than the page has `now`."""
    for name, given in order.model_dump(exclude_none=True).items():
        if given != getattr(now, name):
            where = f"look at GET /experiments/{lp_id}, then order again"
            raise HttpError(409, f"{name}: it is {getattr(now, name)} now, not {given}; nothing was sent; {where}")


def _too_soon(sent: ExperimentCommand) -> HttpError:
    return HttpError(
        409, f"The {sent.command} of experiment {sent.experiment_id} is not carried out yet; try again in some seconds"
    )


async def show(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Return the state of the page's experiment, with its past weights as `history`."""
    state = await state_of(services, known(caller), lp_id)
    return json_answer(200, state.model_dump(mode="json") | {"history": await history_of(services, state)})


async def history_of(services: Services, state: ExperimentState) -> list[tuple[int, list[float]]]:
    """Return the past weights of the arms, in the form of `PastWeights.points`.

    The list is empty if Redis does not have them.
    """
    with contextlib.suppress(Retryable, DecodeError):  # show the state without its history while Redis is away
        if (stored := await services.experiments.store.weights(state.lp_id)) is not None:
            past = decode_model(PastWeights, stored)
            return past.points if past.experiment_id == state.experiment_id else []
    return []


async def state_of(services: Services, caller: Caller, lp_id: str) -> ExperimentState:
    """Return the newest state of the experiment of a page. Raise HttpError 404 if the caller has none."""
    state = await _known_to(services, caller, lp_id)
    if state is None:
        raise _none(lp_id)
    return state


def _none(lp_id: str) -> HttpError:
    return HttpError(404, f"No experiment on {lp_id}; one that was started appears within seconds")


async def _known_to(services: Services, caller: Caller, lp_id: str) -> ExperimentState | None:
    """Return the page's newest experiment state for its owner. Raise HttpError 503 without a store."""
    if not caller.tenant.owns(lp_id):
        return None
    state, answered = await _newest(services, lp_id)
    if state is None and not answered:
        raise HttpError(503, "Redis does not answer, try again")
    return state


async def _newest(services: Services, lp_id: str) -> tuple[ExperimentState | None, bool]:
    """Return the newest state of the page, and whether Redis has answered."""
    state = services.experiments.states.get(lp_id)
    try:
        stored = await services.experiments.store.get(lp_id)
    except Retryable:
        return state, False
    if stored is not None:
        return decode_model(ExperimentState, stored), True
    # without a state in Redis, the page was erased, or Redis has lost it
    return (state if await published(services, lp_id) is not None else None), True


def known(caller: Caller | None) -> Caller:
    """Return the caller. Raise HttpError 401 without a token."""
    if caller is None:
        raise HttpError(401, "Give a token of your tenant: Authorization: Bearer …", 40101)
    return caller


def fields_of(body: bytes, caller: Caller) -> dict[str, Any]:
    """Parse a command's body. Return its fields, with the caller's tenant and the time."""
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"Bad Request: {error}") from error
    if fields.get("tenant_id", caller.tenant.id) != caller.tenant.id:
        raise HttpError(403, f"tenant_id: this token belongs to tenant {caller.tenant.id}")
    return fields | own(caller)


def own(caller: Caller) -> dict[str, Any]:
    """Return the fields that the server sets: version, tenant and time."""
    return {"schema": 1, "tenant_id": caller.tenant.id, "requested_ms": _now_ms()}


def model_of(model: type[Command], fields: dict[str, Any]) -> Command:
    """Build the command from its fields. Raise HttpError 422 with the name of a wrong field."""
    try:
        return model_from_object(model, fields)
    except DecodeError as error:
        raise HttpError(422, str(error).removeprefix("Value error, ")) from error


async def _check_arms(command: ExperimentCommand, services: Services, caller: Caller) -> None:
    """Raise HttpError 422 if an arm is not a page or variant of the caller's tenant."""
    for at, arm in enumerate(command.arms):
        if not caller.tenant.owns(arm) or await made(services, arm) is None:
            raise HttpError(422, f"arms[{at}]: there is no page {arm} of tenant {caller.tenant.id}")
    if await published(services, command.lp_id) is None:
        raise HttpError(422, f"lp_id: {command.lp_id} is a variant without an address; name its page, and it as an arm")


async def _check_free(command: ExperimentCommand, state: ExperimentState | None, services: Services) -> None:
    """Raise HttpError 409 if a page has a running experiment, or if the arms leave out its winner."""
    if state is not None and state.status == "running":
        raise HttpError(409, f"Experiment {state.experiment_id} runs on {state.lp_id}; stop it first")
    if state is not None and state.shown not in command.arms:
        raise HttpError(409, f"arms: name {state.shown}, which is the page now, or stop the last experiment first")
    other = busy(command.arms, services.experiments.states, command.lp_id)
    if other is not None and await published(services, other[1]) is not None:  # an erased page has no experiment
        raise HttpError(409, f"arms: {other[0]} is part of the experiment on {other[1]}; stop that first")


async def send(services: Services, command: ExperimentCommand | AutopilotCommand) -> None:
    """Send the command to the optimizer. Raise HttpError 503 if Kafka does not accept it."""
    with needing("Kafka"):
        [sent] = await services.sender.send(
            EXPERIMENTS, [Record(encode_model(command), command.key, command.key, None)]
        )
    if sent.error_code is not None:
        raise HttpError(503, f"The command was not stored, try again: {sent.error}")
    # a state that is shown later may not know of it yet
    noted = msgspec.json.encode(msgspec.json.decode(encode_model(command)) | {"offset": sent.offset})
    await services.experiments.note(command.key.decode(), noted)


def _accepted(command: ExperimentCommand) -> web.Response:
    taken = {"takes_back": command.takes_back} if command.takes_back is not None else {}
    return accepted(command, {ID: str(command.experiment_id), **taken})


def accepted(command: ExperimentCommand | AutopilotCommand, ids: dict[str, str]) -> web.Response:
    """Return status 202 with the ids of a sent command."""
    return json_answer(202, {**ids, "lp_id": command.lp_id, "command": command.command})


def json_answer(status: int, answer: dict[str, Any]) -> web.Response:
    """Return a JSON response that caches must not store."""
    body, headers = msgspec.json.encode(answer), {"Cache-Control": "no-store"}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _now_ms() -> int:
    return int(time.time() * 1000)
