"""The brief of a request: its fields for copy, trade, purpose, template, section groups and drawings."""

from processors.pages.curated import ROLES, drawing_of
from processors.pages.facts import given_of
from processors.pages.purposes import purpose_of
from processors.pages.trades import trade_of
from processors.pages.words import kind_of
from processors.text import folded
from schemas.copywriting import CopyFields
from schemas.generation import GenerationRequest
from schemas.plan import Brief, Source
from schemas.sections import GROUPS

LONGEST_KEYWORD = 100  # NFKC makes up to 18 characters of one
WITHOUT_FLOW = ("restaurant", "beauty", "shop")


def brief_of(request: GenerationRequest) -> Brief:
    """Return the brief of a request.

    The template is the design of the trade. Pages for visits to a restaurant, beauty salon or shop have no flow.
    """
    match = trade_of(request.industry)
    trade = match.design
    fields = copy_fields(request)
    kind = kind_of(trade, fields.industry, fields.keywords)
    purpose = purpose_of(request.purpose, match.sells)
    walk_in = purpose == "visit" and trade in WITHOUT_FLOW
    return Brief(
        fields=fields,
        trade=trade,
        kind=kind,
        reason=match.reason,
        purpose=purpose,
        template=trade,
        groups=tuple(group for group in GROUPS if not (walk_in and group == "flow")),
        drawings={role: drawing_of(trade, kind, role) for role in ROLES},
    )


def brief_of_page(source: Source) -> Brief:
    """Return the brief of a page that was made, with the look that it has."""
    look = {"template": source.template, "order": source.order, "calls": source.calls}
    return brief_of(source.request).model_copy(update=look)


def copy_fields(request: GenerationRequest) -> CopyFields:
    """Return the fields that the copy of a request's page depends on."""
    return CopyFields(
        industry=folded(request.industry),
        purpose=folded(request.purpose),
        keywords=normalised(request.keywords),
        tone=request.tone,
        quality=request.quality,
        locale=request.locale,
        given=given_of(request),
    )


def normalised(keywords: list[str]) -> list[str]:
    """Return the keywords in the form for comparisons: NFKC, case folded, distinct, sorted."""
    return sorted({folded(word)[:LONGEST_KEYWORD] for word in keywords} - {""})
