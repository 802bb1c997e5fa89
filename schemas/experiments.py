"""Messages of experiments on `lp.experiments`: commands, states and past weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isclose
from typing import Annotated, Literal, Self
from uuid import UUID, uuid5

from pydantic import ConfigDict, Field, model_validator

from schemas.generation import LpId, Model, TenantId

EXPERIMENTS = "lp.experiments"
MOST_ARMS = 6
# more than the blocks of ten thousand million pageviews, at whose ends weights move
MOST_POINTS = 1_600
MOST_SEEN = 60


class Goal(StrEnum):
    """The kinds of goals, as the snippet counts them."""

    FORM = "form"
    TEL = "tel"
    MAIL = "mail"
    OUTBOUND = "outbound"
    CUSTOM = "custom"


Policy = Literal["bandit", "fixed"]
Status = Literal["running", "stopped", "decided"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Ms = Annotated[int, Field(ge=0, le=10**14)]
Reason = Annotated[str, Field(max_length=1_000)]
ALL_GOALS = list(Goal)


class Design(Model):
    """The design of an experiment: the pages that it compares, and by which rule.

    The first arm is the page itself. Its address, canonical and cards stay the page's own.
    """

    lp_id: LpId
    arms: Annotated[list[LpId], Field(min_length=2, max_length=MOST_ARMS)]
    goals: Annotated[list[Goal], Field(min_length=1, max_length=len(ALL_GOALS))] = ALL_GOALS
    policy: Policy = "bandit"
    floor: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.05
    half_life_days: Annotated[float, Field(ge=0.01, le=3_650, allow_inf_nan=False)] = 14.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.arms[0] != self.lp_id:
            raise ValueError("arms: the first arm is the page itself; give lp_id as the first arm")
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("arms: each arm must be another page; give each only once")
        if len(set(self.goals)) < len(self.goals):
            raise ValueError("goals: give each kind only once")
        if self.floor * len(self.arms) > 1:
            raise ValueError(f"floor: {len(self.arms)} arms cannot each have {self.floor:g}; give a smaller floor")
        return self


class _Experiment(Design):
    """An experiment: its design, its id and its tenant."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    experiment_id: UUID
    tenant_id: TenantId
    requested_ms: Ms


class ExperimentCommand(_Experiment):
    """An order to start or stop an experiment, under the key `command:{lp_id}`.

    `takes_back`: the winner that a person saw as the page when no experiment ran. The stop takes it back.
    """

    command: Literal["start", "stop"]
    takes_back: LpId | None = None

    @property
    def key(self) -> bytes:
        """The key of the record."""
        return f"command:{self.lp_id}".encode()


class StopOrder(Model):
    """An order to end an experiment, with the state that a person saw.

    `intent`: to `stop` the experiment while it runs, or to `take_back` its winner. An order without these fields is for
    the state that it meets. Unknown fields are refused: a misspelt name would make such an order.
    """

    model_config = ConfigDict(extra="forbid")

    experiment_id: UUID | None = None
    intent: Literal["stop", "take_back"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.experiment_id is None) != (self.intent is None):
            raise ValueError("give both experiment_id and intent, or neither")
        return self


class Refused(Model):
    """A start that could not be, and why."""

    experiment_id: UUID
    reason: Reason


class ExperimentState(_Experiment):
    """The state of an experiment, under the key `{lp_id}`; only the optimizer writes it.

    `number` counts the states of the experiment. A state is newer than another by `order`. Counts before
    `counted_from_ms` are not used, because caches may still hold the earlier page. `rates` are goals a pageview of
    each arm: estimate, low, high. Cookies of earlier experiments may name the arms in `held`; `seen_ms` has the arms of
    these experiments with the last time at which a visitor may have got a cookie. `fallback` is the winner that
    visitors saw before the experiment, and see again if it ends without a verdict. If autopilot has started the
    experiment, `after` is the experiment of the last command of a person before it.
    """

    epoch: Count
    number: Count
    status: Status
    weights: Annotated[list[Share], Field(min_length=2, max_length=MOST_ARMS)]
    rates: Annotated[list[tuple[Share, Share, Share]], Field(default_factory=list, max_length=MOST_ARMS)]
    pageviews: Annotated[list[Count], Field(default_factory=list, max_length=MOST_ARMS)]
    conversions: Annotated[list[Count], Field(default_factory=list, max_length=MOST_ARMS)]
    winner: LpId | None = None
    reason: Reason = ""
    visits_needed: Count | None = None
    started_ms: Ms
    counted_from_ms: Ms
    decided_ms: Ms
    held: Annotated[list[LpId], Field(default_factory=list, max_length=MOST_ARMS)]
    refused: Refused | None = None
    after: UUID | None = None
    fallback: LpId | None = None
    seen_ms: Annotated[dict[LpId, Ms], Field(default_factory=dict, max_length=MOST_SEEN)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.weights) != len(self.arms) or not isclose(sum(self.weights), 1, abs_tol=1e-6):
            raise ValueError("weights: give one for each arm, with the sum 1")
        for name in ("winner", "fallback"):
            if getattr(self, name) not in (None, *self.arms):
                raise ValueError(f"{name}: is none of the arms")
        return self

    @property
    def key(self) -> bytes:
        """The key of the record."""
        return self.lp_id.encode()

    @property
    def shown(self) -> str:
        """The page that visitors see while no experiment runs: a winner, or the page itself."""
        return self.winner or self.fallback or self.lp_id

    @property
    def bound(self) -> list[str]:
        """The page and the arms whose addresses lead to it. No other page's experiment may have them."""
        if self.status != "stopped":
            return self.arms
        return [self.lp_id, self.fallback] if self.fallback is not None else []

    @property
    def order(self) -> tuple[int, int, int]:
        """The place of this state among all states of its page."""
        return self.epoch, self.started_ms, self.number


class PastWeights(Model):
    """The past weights of an experiment, under the key `weights:{lp_id}`.

    A point has the time (s UTC) from which its weights were in force, one for each arm.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    experiment_id: UUID
    lp_id: LpId
    points: Annotated[list[tuple[int, list[Share]]], Field(max_length=MOST_POINTS)]

    @property
    def key(self) -> bytes:
        """The key of the record."""
        return f"weights:{self.lp_id}".encode()


def result_id_of(experiment_id: UUID, lp_id: str) -> UUID:
    """Return the id of a decided experiment's result.

    No experiment's id leads to the id of a request, and experiments of two pages with one id have two results.
    """
    return uuid5(experiment_id, f"result:{lp_id}")


@dataclass(frozen=True, slots=True)
class PageCounts:
    """The counts of a page in the `span_s` seconds from `start_s`.

    `deep` are the pageviews that came to the half of the page. `dead_squares` and `rage_squares` are sums over minutes:
    the squares of each minute's clicks.
    """

    lp_id: str
    start_s: int
    span_s: int
    pageviews: int
    conversions: int
    goals: dict[Goal, int]
    dead_clicks: int
    rage_clicks: int
    deep: int = 0
    dead_squares: int = 0
    rage_squares: int = 0

    def reached(self, goals: Sequence[Goal]) -> int:
        """Return the pageviews with a goal of these kinds. A pageview with two of several kinds counts twice.

        Do not compare them with `conversions` of the same row: another goal of the pageview may be in an earlier row.
        """
        return self.conversions if len(goals) == len(ALL_GOALS) else sum(self.goals[goal] for goal in goals)
