"""The routes of autopilot: switch, approve or reject, and show, for the tenant that owns the page."""

from typing import Any
from uuid import uuid4

from aiohttp import web

from infra.tenants import Caller
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.generation import decode_model
from streams.edge.http.errors import HttpError, needing
from streams.edge.services import Services
from streams.edge.site.experiment_commands import accepted, body_of, fields_of, json_answer, known, model_of, own, send
from streams.edge.site.published import published

ID = "command_id"


async def order(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Switch the page's autopilot on or off, or approve or reject its variant."""
    caller = known(caller)
    command = await give(services, caller, lp_id, fields_of(await body_of(request, services, caller), caller))
    return accepted(command, {ID: str(command.command_id)})


async def give(
    services: Services, caller: Caller, lp_id: str, fields: dict[str, Any], variant: str | None = None
) -> AutopilotCommand:
    """Send an order to the page's autopilot, and return it.

    `variant` is the request of the variant that a person has seen; without it and without the field
    `variant_request_id`, the variant is meant that waits for approval. Raise HttpError 422 for a wrong field, 404 if
    there is no such page, 409 if this variant does not wait for approval.
    """
    command = model_of(AutopilotCommand, fields | own(caller) | {"lp_id": lp_id, ID: str(uuid4())})
    _check_owner(caller, lp_id)
    if command.command == "on" and await published(services, lp_id) is None:
        raise HttpError(404, f"There is no published page {lp_id} of tenant {caller.tenant.id}")
    if command.command in ("approve", "reject"):
        state = await state_of(services, lp_id)
        await check_switched(services, lp_id, state)
        waits = state.variant_request_id if state is not None and state.step == "waiting_approval" else None
        seen = variant if variant is not None else str(command.variant_request_id or waits)
        if waits is None or seen != str(waits):
            raise HttpError(409, f"No variant of {lp_id} waits for approval")
        command = command.model_copy(update={"variant_request_id": waits})
    await send(services, command)
    return command


async def show(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Return the state of the page's autopilot."""
    _check_owner(known(caller), lp_id)
    state = await state_of(services, lp_id)
    if state is None:
        raise HttpError(404, f"Autopilot was never on for {lp_id}")
    return json_answer(200, state.model_dump(mode="json"))


async def check_switched(services: Services, lp_id: str, state: AutopilotState | None) -> None:
    """Raise HttpError 409 if the last order was a switch that is not carried out yet."""
    if (sent := await switch_on_its_way(services, lp_id, state)) is not None:
        raise HttpError(409, f"The order {sent.command} to autopilot is not carried out yet; try again in some seconds")


async def switch_on_its_way(services: Services, lp_id: str, state: AutopilotState | None) -> AutopilotCommand | None:
    """Return the last order if it was a switch that `state` does not know of yet.

    The order in Redis may be an earlier one: an edge may fail to note its order.
    """
    stored = await services.experiments.sent(f"autopilot-command:{lp_id}")
    sent = decode_model(AutopilotCommand, stored) if stored is not None else None
    if sent is None or sent.command not in ("on", "off"):
        return None
    done = state is not None and (state.command_id == sent.command_id or _done_ms(state) >= sent.requested_ms)
    return None if done else sent


def _done_ms(state: AutopilotState) -> int:
    """Return when the last command was carried out.

    States of earlier releases say only when their step began.
    """
    return state.command_ms or state.since_ms


def _check_owner(caller: Caller, lp_id: str) -> None:
    if not caller.tenant.owns(lp_id):
        raise HttpError(404, f"There is no page {lp_id} of tenant {caller.tenant.id}")


async def state_of(services: Services, lp_id: str) -> AutopilotState | None:
    """Return the newest state, or None. Raise HttpError 503 if Redis does not answer."""
    with needing("Redis"):
        stored = await services.experiments.store.pilot(lp_id)
    return decode_model(AutopilotState, stored) if stored is not None else None
