"""The form that requests a variant of a page: one change, where, and why. A finding fills it in."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args
from urllib.parse import quote
from uuid import UUID, uuid4, uuid5

from aiohttp import web
from pydantic import ValidationError

from processors.studio.parts import section_order, title
from processors.studio.variants import japanese
from schemas.errors import DecodeError
from schemas.generation import LONGEST_BRIEF, REGISTERED, Change, SectionName, Variant, VariantRequest
from streams.edge.http.errors import HttpError
from streams.edge.rest.asks import check_ask
from streams.edge.site.published import made
from streams.edge.studio.auth import PATH, Redirect, Visit
from streams.edge.studio.directory import Page
from streams.edge.studio.maps import check_owner
from streams.edge.studio.pages import KEPT, send
from streams.edge.studio.places import has_won, shown_at

CHANGES: tuple[str, ...] = get_args(Change)
# the changes for which the boxes of sections say where; boxes have no order, so a finding's order is a field of its own
IN_SECTIONS = ("copy", "call")
SECTION, ORDER = "section:", "order"


@dataclass(frozen=True, slots=True)
class Given:
    """The fields of the form. `order` has the sections that a finding moves, in their new order."""

    change: str
    sections: list[SectionName]
    order: list[SectionName]
    brief: str

    @property
    def wanted(self) -> list[SectionName]:
        """The sections of the variant."""
        return self.order if self.change == ORDER else self.sections if self.change in IN_SECTIONS else []


def given(change: str, sections: Iterable[str], order: Iterable[str], brief: str) -> Given:
    """Return the fields with known values only."""
    moved = _known(order)
    return Given(
        change if change in CHANGES else CHANGES[0],
        _known(sections),
        moved if len(moved) > 1 else [],
        brief.strip()[:LONGEST_BRIEF],
    )


def _known(names: Iterable[str]) -> list[SectionName]:
    return list(dict.fromkeys(REGISTERED[name] for name in names if name in REGISTERED))


async def form(visit: Visit, lp_id: str) -> web.Response:
    """Return the form, filled in by the query."""
    query = visit.request.query
    sections = query.getall("section", [])[: len(get_args(SectionName))]
    order = query.get(ORDER, "").split(",")
    return await _form(visit, lp_id, given(query.get("change", ""), sections, order, query.get("brief", "")))


async def ask(visit: Visit, lp_id: str) -> web.Response:
    """Request the variant. The same form posted twice is one request."""
    page = await _page(visit, lp_id)
    sections = [name.removeprefix(SECTION) for name in visit.form if name.startswith(SECTION)]
    order = visit.form.get(ORDER, "").split(",")
    fields = given(visit.form.get("change", ""), sections, order, visit.form.get("brief", ""))
    try:
        variant = Variant.model_validate(
            {"of": lp_id, "change": fields.change, "sections": fields.wanted, "brief": fields.brief}
        )
        form_id = UUID(visit.form.get("request_id", ""))
    except (ValidationError, ValueError):
        return await _form(visit, lp_id, fields, error=visit.say("wrong"))
    request_id = uuid5(form_id, variant.model_dump_json())
    request = VariantRequest(request_id=request_id, tenant_id=visit.known.tenant, variant=variant, door="studio")
    try:
        await check_ask(visit.services.objects, request)
    except DecodeError as error:
        told = japanese(error.detail) if visit.language == "ja" else error.detail
        return await _form(visit, lp_id, fields, error=told or visit.say("wrong"))
    await send(visit, request, visit.say("variant_of", name=page.name if page.about else lp_id))
    raise Redirect(f"{PATH}/requests/{request_id}?of={quote(lp_id)}")


async def _page(visit: Visit, lp_id: str) -> Page:
    check_owner(visit, lp_id)
    """Return a page or a winner. Raise HttpError 404 for another variant, which visitors do not see."""
    page = await visit.services.directories.page(visit.known.caller.tenant, lp_id)
    if page is None or not (page.published or has_won(visit.services, lp_id)):
        raise HttpError(404, visit.say("not_found"))
    return page


async def _form(visit: Visit, lp_id: str, fields: Given, error: str = "") -> web.Response:
    page = await _page(visit, lp_id)
    cached = await made(visit.services, lp_id)
    order = [name for name in section_order(cached.object.body if cached else b"") if name in REGISTERED]
    answer = visit.page(
        "variant",
        status=422 if error else 200,
        lp_id=lp_id,
        business=page.name,
        given=fields,
        changes=CHANGES,
        sections=[(REGISTERED[name], title(name, visit.language)) for name in order],
        moved=[title(name, visit.language) for name in fields.order],
        error=error,
        request_id=str(uuid4()),
        shown_at=shown_at(visit.services, lp_id),
    )
    answer.headers["Cache-Control"] = KEPT
    return answer
