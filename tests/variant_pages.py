"""Parents and variants for tests, made with the code of the worker."""

from typing import Any
from uuid import UUID, uuid5

from page_requests import full

from processors.pages.brief import brief_of
from processors.pages.copywriting import assemble
from processors.pages.page import integrate, optimise
from processors.pages.rewriting import ready_copy, rewrite_of
from processors.pages.variants import varied
from schemas.copywriting import Copy
from schemas.generation import GenerationRequest, VariantRequest, lp_id_of
from schemas.plan import Made, Plan, Source

TENANT, PARENT = "t1", UUID(int=1)
OF = lp_id_of(TENANT, PARENT)


def source_of(request: GenerationRequest | None = None, **rest: Any) -> Source:
    """Return the source of a page with built-in copy."""
    request = request or full()
    brief = brief_of(request)
    return Source(**{"request": request, "copy_": assemble(brief, {}), "template": brief.template} | rest)


def asked(change: str, *sections: str, number: int = 7, brief: str = "", **rest: Any) -> VariantRequest:
    """Return a request for a variant of the page with the id OF."""
    variant = {"of": OF, "change": change, "sections": sections, "brief": brief}
    request_id = uuid5(PARENT, str(number))
    return VariantRequest.model_validate({"request_id": request_id, "tenant_id": TENANT, "variant": variant} | rest)


def plan_of(parent: Source, request: VariantRequest) -> Plan:
    """Return the plan that the worker makes."""
    varied_request, brief = varied(request, parent)
    made = Made.model_validate(parent.model_dump(include=set(Made.model_fields)))
    return Plan(
        request=varied_request,
        brief=brief,
        uploads=parent.uploads,
        created_ms=0,
        deadline_ms=1,
        validate_ms=0,
        parent=made,
    )


def copy_of(plan: Plan) -> Copy:
    """Return the copy of a variant as made without any provider."""
    if (ready := ready_copy(plan)) is not None:
        return ready
    rewrite = rewrite_of(plan)
    assert rewrite is not None
    return rewrite.copy({}, dict.fromkeys(rewrite.sections, "none_configured"))


def made_from(plan: Plan, copy: Copy) -> Source:
    """Return the source of a variant, as publishing stores it."""
    brief = plan.brief
    return Source(
        request=plan.request,
        copy_=copy,
        template=brief.template,
        order=brief.order,
        calls=brief.calls,
        uploads=plan.uploads,
    )


def html_of(source: Source, brief: Any) -> str:
    """Return the HTML of a page, with the same address for each."""
    page = integrate(source.request, brief, source.copy_, source.uploads, lp_id="t1-1", base_url="https://x.test")
    return optimise(page).decode()
