"""Variants, pages that differ from their parent in one thing: their requests and their differences.

The request of a variant is its parent's, so facts, keywords and pictures stay. `copy` changes texts, `order` the order
of sections, `design` colours and type, `call` the words or the places of the calls to action.
"""

from collections.abc import Callable, Sequence
from typing import Any

from processors.pages.brief import brief_of_page
from processors.pages.calls import Call, call_of, leads_away
from processors.pages.copywriting import sections_of
from processors.pages.designs import DESIGNS, look_of
from processors.pages.given import given_sections
from processors.text import cut
from schemas.copywriting import Copy
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest, Variant, VariantRequest, VariantResult, lp_id_of, model_from_object
from schemas.plan import Brief, Made, Plan, Source

FIELD = "variant.sections"
LONGEST_PART = 60


def varied(asked: VariantRequest, parent: Source) -> tuple[GenerationRequest, Brief]:
    """Return the request and the brief of a variant; raise DecodeError with the field at fault."""
    of = asked.variant.of
    if lp_id_of(asked.tenant_id, asked.request_id) == of:
        raise DecodeError("request_id", f"is that of {of}; give the variant a request_id of its own")
    request = _request(asked, parent.request)
    return request, _CHANGES[asked.variant.change](request, parent, brief_of_page(parent))


def _request(asked: VariantRequest, parent: GenerationRequest) -> GenerationRequest:
    """Return the parent's request under the variant's id.

    Raise DecodeError if a field that the request carries has another value than the parent's.
    """
    given = asked.model_extra or {}
    own = {"request_id": asked.request_id, "variant": asked.variant, "door": asked.door or "api"}
    request = model_from_object(GenerationRequest, {**parent.model_dump(), **given, **own}, stored=True)
    for name in given:
        if getattr(request, name) != getattr(parent, name):
            raise DecodeError(
                name, f"differs from that of {asked.variant.of}; a variant has its parent's, so leave it out"
            )
    return request


# -- one change each -----------------------------------------------------------------------------------------


def _copy(request: GenerationRequest, parent: Source, brief: Brief) -> Brief:
    written = sections_of(brief)
    for name in _variant(request).sections:
        if name not in written:
            why = "holds facts of the customer, or the page does not have it"
            raise DecodeError(FIELD, f"{name} {why}; the texts of {', '.join(written)} can be written anew")
    return brief


def _order(request: GenerationRequest, parent: Source, brief: Brief) -> Brief:
    order, shown = list(look_of(brief).order), _between(request, parent, brief)
    moved: list[str] = [*_variant(request).sections]
    _check_shown(moved, shown)
    moved = moved or _usual_order(request, brief, shown)
    places = [order.index(name) for name in shown if name in moved]
    for place, name in zip(places, moved, strict=True):
        order[place] = name
    if order == list(look_of(brief).order):
        raise DecodeError(FIELD, f"{', '.join(moved)} is the order that the page has; give another order")
    return brief.model_copy(update={"order": tuple(order)})


def _usual_order(request: GenerationRequest, brief: Brief, shown: list[str]) -> list[str]:
    """Return the sections in the order of another design, chosen by the request's id."""
    others = {tuple(name for name in design.order if name in shown) for design in DESIGNS.values()} - {tuple(shown)}
    choices = sorted(others) or [(shown[1], shown[0], *shown[2:])]
    return list(choices[request.request_id.int % len(choices)])


def _design(request: GenerationRequest, parent: Source, brief: Brief) -> Brief:
    """Return the brief with another template and the same order of sections."""
    others = [name for name in DESIGNS if name != look_of(brief).name]
    template = others[request.request_id.int % len(others)]
    return brief.model_copy(update={"template": template, "order": look_of(brief).order})


def _call(request: GenerationRequest, parent: Source, brief: Brief) -> Brief:
    """Return the brief with calls to action in the given sections.

    Without sections, the brief stays, and the model writes new words for the call later.
    """
    wanted, shown = _variant(request).sections, _between(request, parent, brief)
    if not wanted:
        return brief
    _check_shown(wanted, shown)
    call = _call_of(request, parent, brief)
    if here := [name for name in wanted if not leads_away(call, name)]:
        raise DecodeError(FIELD, f"the page's call to action, 「{call.words}」, cannot stand in {', '.join(here)}")
    if set(wanted) == set(_called(call, brief, shown)):
        raise DecodeError(FIELD, f"{', '.join(wanted)} already end with the page's calls to action")
    return brief.model_copy(update={"calls": tuple(name for name in shown if name in wanted)})


_CHANGES: dict[str, Callable[[GenerationRequest, Source, Brief], Brief]] = {
    "copy": _copy,
    "order": _order,
    "design": _design,
    "call": _call,
}


def _variant(request: GenerationRequest) -> Variant:
    if request.variant is None:
        raise ValueError("the request does not ask for a variant")
    return request.variant


def _between(request: GenerationRequest, parent: Made, brief: Brief) -> list[str]:
    """Return the names of the sections that the page shows, without the first and the last section."""
    data: dict[str, Any] = {**parent.copy_.model_dump(), **given_sections(request)}
    return [name for name in look_of(brief).order[1:-1] if data.get(name)]


def _check_shown(names: Sequence[str], shown: list[str]) -> None:
    if ends := [name for name in names if name in ("hero", "closing")]:
        raise DecodeError(FIELD, f"{ends[0]} keeps its place and its call to action; name sections between")
    if missing := [name for name in names if name not in shown]:
        raise DecodeError(FIELD, f"the page has no section {missing[0]}; it has {', '.join(shown)}")


def _call_of(request: GenerationRequest, made: Made, brief: Brief) -> Call:
    return call_of(request, brief, made.copy_.hero.call)


def _called(call: Call, brief: Brief, shown: list[str]) -> list[str]:
    return [name for name in shown if name in brief.calls and leads_away(call, name)]


# -- the difference ------------------------------------------------------------------------------------------


def difference(plan: Plan, copy: Copy) -> VariantResult | None:
    """Return the difference between a variant and its parent; None for a page that is no variant."""
    parent, request, brief = plan.parent, plan.request, plan.brief
    if parent is None:
        return None
    variant = _variant(request)
    before = brief.model_copy(update={"template": parent.template, "order": parent.order, "calls": parent.calls})
    sections, differs = _DIFFERENCES[variant.change](request, (parent, before), (Made(copy_=copy, template=""), brief))
    return VariantResult(of=variant.of, change=variant.change, sections=sections, differs=differs)


Page = tuple[Made, Brief]
Difference = tuple[list[str], str]


def _copy_differs(request: GenerationRequest, before: Page, after: Page) -> Difference:
    names = rewritten(before[0].copy_, after[0].copy_)
    return names, f"the text of {_listed(names)}"


def _order_differs(request: GenerationRequest, before: Page, after: Page) -> Difference:
    was, now = (_between(request, before[0], brief) for _, brief in (before, after))
    moved = [name for name, old in zip(now, was, strict=True) if name != old]
    return moved, f"the order of sections: {', '.join(now)}; before: {', '.join(was)}"


def _design_differs(request: GenerationRequest, before: Page, after: Page) -> Difference:
    return [], f"the design: {look_of(after[1]).name} in place of {look_of(before[1]).name}"


def _call_differs(request: GenerationRequest, before: Page, after: Page) -> Difference:
    was, now = (_call_of(request, made, brief) for made, brief in (before, after))
    if was.words != now.words:
        return [], f"the words of the calls to action: 「{_part(now.words)}」 in place of 「{_part(was.words)}」"
    places = [_called(now, brief, _between(request, made, brief)) for made, brief in (before, after)]
    return places[1], f"the calls to action: at the end of {_listed(places[1])} in place of {_listed(places[0])}"


_DIFFERENCES: dict[str, Callable[[GenerationRequest, Page, Page], Difference]] = {
    "copy": _copy_differs,
    "order": _order_differs,
    "design": _design_differs,
    "call": _call_differs,
}


def rewritten(before: Copy, after: Copy) -> list[str]:
    """Return the names of the sections whose text differs."""
    old, new = before.model_dump(), after.model_dump()
    return [name for name in old if old[name] != new[name]]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "no section"


def _part(words: str) -> str:
    return cut(words, LONGEST_PART)
