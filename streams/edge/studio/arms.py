"""The form that starts an experiment: the pages that may be arms, and the posted fields."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.experiments import ALL_GOALS, MOST_ARMS, ExperimentState
from schemas.heatmap import LP_ID_PATTERN
from streams.edge.services import Services
from streams.edge.studio.auth import MOST_FIELDS, Visit
from streams.edge.studio.directory import Page, folded
from streams.edge.studio.listing import SEARCH_S

ARM, GOAL = "arm:", "goal:"
LP_ID = re.compile(LP_ID_PATTERN)
MOST_CHOSEN, MOST_VARIANTS, MOST_OTHERS = MOST_ARMS - 1, 10, 12
POLICIES = ("bandit", "fixed")


@dataclass(frozen=True, slots=True)
class Given:
    """The fields of the form: the arms besides the page itself, goals and policy."""

    arms: list[str]
    goals: list[str]
    policy: str


def given(values: Mapping[str, str]) -> Given:
    """Return the fields of a form or query. The browser sends a name for each box that is ticked."""
    arms = [name.removeprefix(ARM) for name in values if name.startswith(ARM)]
    known = [arm for arm in arms if LP_ID.fullmatch(arm)][:MOST_FIELDS]
    goals = [goal.value for goal in ALL_GOALS if f"{GOAL}{goal.value}" in values]
    policy = values.get("policy", POLICIES[0])
    return Given(known, goals or [goal.value for goal in ALL_GOALS], policy if policy in POLICIES else POLICIES[0])


async def candidates(
    visit: Visit, lp_id: str, state: ExperimentState | None, chosen: list[str], text: str
) -> list[Page]:
    """Return the pages that may be arms.

    They are the chosen pages, the variants of the page and of its last arms, and others that match.
    """
    tenant = visit.known.caller.tenant
    directory = await visit.services.directories.of(tenant, SEARCH_S)
    used = used_arms(visit.services, lp_id)
    free = [page for page in directory.newest if page.lp_id != lp_id and page.lp_id not in used]
    ticked = [page for page in free if page.lp_id in chosen]
    parents = {lp_id, *(state.arms if state is not None else ())}
    variants = [page for page in free if page.about and page.about.parent in parents and page not in ticked]
    wanted = folded(text)
    others = [
        page
        for page in free
        if page.published and page not in ticked and page not in variants and (not wanted or page.matches(wanted))
    ][:MOST_OTHERS]
    await directory.read([*ticked, *others])
    return [*ticked, *variants[:MOST_VARIANTS], *others]


def used_arms(services: Services, lp_id: str) -> set[str]:
    """Return the pages whose addresses another page's experiment or winner has."""
    others = (state for state in services.experiments.states.values() if state.lp_id != lp_id)
    return {arm for state in others for arm in state.bound}


def command_of(lp_id: str, fields: Given, experiment_id: str) -> dict[str, Any]:
    """Return the fields of the command that starts the experiment."""
    arms = [lp_id, *fields.arms]
    return {"lp_id": lp_id, "arms": arms, "goals": fields.goals, "policy": fields.policy,
            "experiment_id": experiment_id}  # fmt: skip
