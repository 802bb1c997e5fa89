"""The routes of experiments: start, show and stop, for the tenant that owns the page."""

import contextlib
import time
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from aiohttp import web

from infra.tenants import Caller
from processors.experiments.decisions import busy
from schemas.autopilot import AutopilotCommand
from schemas.errors import DecodeError, Retryable
from schemas.experiments import EXPERIMENTS, ExperimentCommand, ExperimentState
from schemas.generation import decode_model, encode_model, model_from_object
from streams.edge.beacons.sender import Record
from streams.edge.http.bodies import read_body
from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services
from streams.edge.site.published import made, published

MOST_BYTES = 8_192
ID = "experiment_id"
Command = TypeVar("Command", ExperimentCommand, AutopilotCommand)
_fields = msgspec.json.Decoder(dict[str, Any])


async def start(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Start an experiment on a page of the caller's tenant. The same experiment_id again changes nothing."""
    caller = known(caller)
    command = _command(await body_of(request, services, caller), caller)
    await _check_arms(command, services, caller)
    state = services.experiments.states.get(command.lp_id)
    if state is None or state.experiment_id != command.experiment_id:
        _check_free(command, state, services)
    return await _sent(services, command)


async def body_of(request: web.BaseRequest, services: Services, caller: Caller) -> bytes:
    """Return the body of a command, on the account of the caller's tenant."""
    account = services.admission.tenant(caller.tenant.id)
    with services.admission.room() as room:
        return await read_body(request, services.settings, room, limit=MOST_BYTES, account=account)


async def stop(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Stop the page's experiment, or take back its winner: the page is itself again."""
    state = await _state(services, known(caller), lp_id)
    services.admission.tenant(state.tenant_id).pay_records(1)
    fields = state.model_dump(include=set(ExperimentCommand.model_fields))
    return await _sent(services, ExperimentCommand(**fields | {"command": "stop", "requested_ms": _now_ms()}))


async def show(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Return the state of the page's experiment, with its past weights as `history`."""
    state = await _state(services, known(caller), lp_id)
    history: list[Any] = []
    with contextlib.suppress(Retryable):  # the state is what counts; Redis has the history again later
        if (past := await services.experiments.store.weights(lp_id)) is not None:
            history = msgspec.json.decode(past)["points"]
    return json_answer(200, state.model_dump(mode="json") | {"history": history})


async def _state(services: Services, caller: Caller, lp_id: str) -> ExperimentState:
    """Return the newest state of the experiment of a page. Raise HttpError 404 if the caller has none."""
    if caller.tenant.owns(lp_id):
        state = services.experiments.states.get(lp_id)
        try:
            if (stored := await services.experiments.store.get(lp_id)) is not None:
                state = decode_model(ExperimentState, stored)
        except Retryable as error:
            if state is None:
                raise HttpError(503, "Redis does not answer, try again") from error
        if state is not None:
            return state
    raise HttpError(404, f"No experiment on {lp_id}; one that was started appears within seconds")


def known(caller: Caller | None) -> Caller:
    """Return the caller. Raise HttpError 401 without a token."""
    if caller is None:
        raise HttpError(401, "Give a token of your tenant: Authorization: Bearer …", 40101)
    return caller


def _command(body: bytes, caller: Caller) -> ExperimentCommand:
    """Return the command of a request's body. Raise HttpError 422 with the field at fault."""
    return model_of(ExperimentCommand, {ID: str(uuid4())} | fields_of(body, caller) | {"command": "start"})


def fields_of(body: bytes, caller: Caller) -> dict[str, Any]:
    """Return the fields of a command's body, with the caller's tenant and the time."""
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"Bad Request: {error}") from error
    if fields.get("tenant_id", caller.tenant.id) != caller.tenant.id:
        raise HttpError(403, f"tenant_id: this token belongs to tenant {caller.tenant.id}")
    return fields | {"schema": 1, "tenant_id": caller.tenant.id, "requested_ms": _now_ms()}


def model_of(model: type[Command], fields: dict[str, Any]) -> Command:
    """Return the command of these fields. Raise HttpError 422 with the field at fault."""
    try:
        return model_from_object(model, fields)
    except DecodeError as error:
        raise HttpError(422, str(error).removeprefix("Value error, ")) from error


async def _check_arms(command: ExperimentCommand, services: Services, caller: Caller) -> None:
    """Raise HttpError 422 for an arm that is no page or variant. Another tenant's page is none, too."""
    for at, arm in enumerate(command.arms):
        if not caller.tenant.owns(arm) or await made(services, arm) is None:
            raise HttpError(422, f"arms[{at}]: there is no page {arm} of tenant {caller.tenant.id}")
    if await published(services, command.lp_id) is None:
        raise HttpError(422, f"lp_id: {command.lp_id} is a variant without an address; name its page, and it as an arm")


def _check_free(command: ExperimentCommand, state: ExperimentState | None, services: Services) -> None:
    """Raise HttpError 409 if an experiment runs already, or if the page would lose its winner."""
    if state is not None and state.status == "running":
        raise HttpError(409, f"Experiment {state.experiment_id} runs on {state.lp_id}; stop it first")
    if state is not None and state.winner is not None and state.winner not in command.arms:
        raise HttpError(409, f"arms: name {state.winner}, which is the page now, or stop the last experiment first")
    if (other := busy(command.arms, services.experiments.states, command.lp_id)) is not None:
        raise HttpError(409, f"arms: {other[0]} is part of the experiment on {other[1]}; stop that first")


async def _sent(services: Services, command: ExperimentCommand) -> web.Response:
    return await accepted(services, command, {ID: str(command.experiment_id)})


async def accepted(
    services: Services, command: ExperimentCommand | AutopilotCommand, ids: dict[str, str]
) -> web.Response:
    """Send the command, and return 202 with its ids: the optimizer carries it out within seconds."""
    with needing("Kafka"):
        [sent] = await services.sender.send(
            EXPERIMENTS, [Record(encode_model(command), command.key, command.key, None)]
        )
    if sent.error_code is not None:
        raise HttpError(503, f"The command was not stored, try again: {sent.error}")
    return json_answer(202, {**ids, "lp_id": command.lp_id, "command": command.command})


def json_answer(status: int, answer: dict[str, Any]) -> web.Response:
    """Return an answer in JSON that no cache keeps."""
    body, headers = msgspec.json.encode(answer), {"Cache-Control": "no-store"}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _now_ms() -> int:
    return int(time.time() * 1000)
