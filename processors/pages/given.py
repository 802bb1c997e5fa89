"""The sections of a page that only the customer's facts fill."""

from typing import Any

from processors.pages.facts import listed_site, phone_of
from processors.pages.legal import forbids_testimonials
from processors.text import address
from schemas.generation import GenerationRequest, Model
from schemas.sections import Information, PriceList, Proof, Treatments


def given_sections(request: GenerationRequest) -> dict[str, dict[str, Any] | None]:
    """Return the sections that only the customer's facts fill; None for a section without facts."""
    business, facts = request.business, request.facts
    url = address(site) if (site := listed_site(request)) else None
    voices = [] if forbids_testimonials(request.industry) else facts.testimonials
    phone = phone_of(request)
    where = Information(address=business.address, hours=facts.hours, access=facts.access, phone=phone, url=url)
    sections: dict[str, Model | None] = {
        "proof": Proof(testimonials=voices) if voices else None,
        "price": PriceList(prices=facts.prices) if facts.prices else None,
        "treatments": Treatments(treatments=facts.treatments) if facts.treatments else None,
        "information": where if where.address or where.hours or where.access else None,
    }
    return {name: model.model_dump() if model else None for name, model in sections.items()}
