"""The plan of a step or of its result, read from a record."""

from processors.pages.brief import brief_of
from schemas.generation import GenerationRequest, model_from_object
from schemas.plan import Plan


def plan_of(value: object) -> Plan:
    """Return the plan in a record. DecodeError names the wrong field.

    Plans of older releases have no brief. It follows from the request, so it is the same in each of their records.
    """
    if isinstance(value, dict) and "brief" not in value:
        request = model_from_object(GenerationRequest, value.get("request"), stored=True)
        value = {**value, "request": request, "brief": brief_of(request)}
    return model_from_object(Plan, value)
