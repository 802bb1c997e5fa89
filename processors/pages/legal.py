"""Legal rules of a page: facts that it may not show, and facts that it needs."""

from processors.pages.lint import lint_request
from schemas.generation import GenerationRequest, Warning_
from schemas.plan import Brief

LICENSED = {"realestate": "宅地建物取引業の免許番号", "counsel": "登録番号・所属会"}


def forbids_testimonials(trade: str) -> bool:
    """Return whether the page may not show testimonials.

    Patients' experiences may not advertise medical services (医療法施行規則 第1条の9).
    """
    return trade == "clinic"


def page_warnings(request: GenerationRequest, brief: Brief) -> list[Warning_]:
    """Return warnings about input that the customer should correct.

    Codes: `facts_not_shown`, `legal_slot_missing`, `advertising_law`.
    """
    business, facts = request.business, request.facts
    warnings = lint_request(request, brief.trade)
    if facts.testimonials and forbids_testimonials(brief.trade):
        detail = "facts.testimonials: 医療広告では患者の体験談を掲載できません（医療法施行規則第1条の9）"
        warnings.append(Warning_(code="facts_not_shown", detail=detail))
    if brief.purpose == "sale":
        required = {
            "business.address": business.address,
            "business.phone": business.phone,
            "facts.prices": facts.prices,
            "business.url": business.url,
        }
        warnings += [
            Warning_(code="legal_slot_missing", detail=f"{name}: 特定商取引法第11条の表示に使います")
            for name, value in required.items()
            if not value
        ]
    needed = LICENSED.get(brief.trade)
    if needed and not facts.licences:
        warnings.append(Warning_(code="legal_slot_missing", detail=f"facts.licences: {needed}の表示に使います"))
    return warnings
