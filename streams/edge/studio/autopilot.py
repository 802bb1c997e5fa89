"""The studio's panel of a page's autopilot, and the orders of its forms."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from processors.studio.autopilot import about
from processors.studio.experiments import reason
from schemas.autopilot import AutopilotState
from schemas.errors import LpstreamError
from streams.edge.http.errors import HttpError
from streams.edge.site.autopilot_commands import give, state_of, switch_on_its_way
from streams.edge.studio.auth import Redirect, Visit
from streams.edge.studio.awaiting import address, named
from streams.edge.studio.directory import Page

log = logging.getLogger(__name__)

FIELD, SEEN, ORDERED, MOST_WAITING = "autopilot", "seen", "ordered", 20
WRONG = {404: "pilot_error_page", 409: "pilot_error_none"}


async def order(visit: Visit, lp_id: str) -> tuple[int, str]:
    """Send the order of the posted form to autopilot.

    If it is refused, return an HTTP status and the word for it. After an accepted order, raise Redirect to the page
    that waits for it. A form that switches autopilot on names the last order that its page has shown: it does not undo
    the order of another person, also if that is not carried out yet. The same order on its way is sent once.
    """
    if visit.form[FIELD] == "on":
        state = await state_of(visit.services, lp_id)
        sent = await switch_on_its_way(visit.services, lp_id, state)
        same = sent is None or (sent.command == "on" and sent.approval == ("approval" in visit.form))
        if not same or visit.form.get(SEEN, "") != _seen(state):
            return 409, "pilot_error_changed"
        if sent is not None:  # for example a double click
            raise Redirect(address(lp_id, ORDERED, sent.command_id))
    fields = {"command": visit.form[FIELD], "approval": "approval" in visit.form}
    visit.services.admission.tenant(visit.known.tenant).pay_records(1)
    try:
        command = await give(visit.services, visit.known.caller, lp_id, fields, visit.form.get("variant", ""))
    except HttpError as error:
        if error.status not in WRONG:
            raise
        return error.status, WRONG[error.status]
    raise Redirect(address(lp_id, ORDERED, command.command_id))


async def panel(visit: Visit, lp_id: str, page: Page | None) -> dict[str, Any] | None:
    """Return the template's variables for the panel, or None for a page that can have no autopilot."""
    state = await state_of(visit.services, lp_id)
    published = page is not None and page.published
    if state is None:
        never = {"state": None, "on": False, "seen": "", "pending": _pending(visit, None), "published": True}
        return never if published else None
    since = datetime.fromtimestamp(state.since_ms / 1000, UTC)
    english = visit.language == "en"
    return {
        "state": state,
        "on": state.on,
        "seen": _seen(state),
        "pending": _pending(visit, state.command_id),
        "published": published,
        "since": visit.say("pilot_since", at=visit.local(since)),
        "reason": reason(state.reason.partition(" because of ")[0] if english else state.reason, visit.language),
        "about": about(state.about, visit.language),
    }


def _seen(state: AutopilotState | None) -> str:
    """Return the id of the last order while autopilot is on, else an empty text."""
    return str(state.command_id) if state is not None and state.on else ""


def _pending(visit: Visit, carried_out: object) -> bool:
    """Return whether the optimizer has not yet carried out the order in the page's address."""
    return named(visit, ORDERED) not in (None, carried_out)


async def waiting(visit: Visit) -> list[dict[str, str]]:
    """Return the tenant's pages whose variant waits for approval: ids, and names of the first ones."""
    caller = visit.known.caller
    try:
        found = sorted(filter(caller.tenant.owns, await visit.services.experiments.store.waiting()))
    except LpstreamError as error:
        log.warning("cannot read which variants wait for approval: %s", error)
        return []
    pages = await asyncio.gather(*(visit.services.directories.page(caller.tenant, one) for one in found[:MOST_WAITING]))
    names = [page.name if page is not None else "" for page in pages]
    names += [""] * (len(found) - len(names))
    return [{"lp_id": lp_id, "name": name} for lp_id, name in zip(found, names, strict=True)]
