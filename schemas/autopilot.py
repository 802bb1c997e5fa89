"""Messages of autopilot on `lp.experiments`: commands of people, and the state of each page."""

from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import Field

from schemas.experiments import Count, Ms, Reason
from schemas.generation import LpId, Model, TenantId

StepName = Literal["watching", "asked", "waiting_approval", "ready", "testing", "resting"]
# requests of one page in a week; only one of them may lead to a page
MOST_ASKED = 3
MOST_TRIED = 10
Address = Annotated[str, Field(max_length=2_000)]


class AutopilotOrder(Model):
    """An order to a page's autopilot.

    `approval`, of the order `on`: a person must approve each variant before visitors see it. `variant_request_id`, of
    `approve` and `reject`: the request of the variant that is meant. Without it, the variant that waits is meant.
    """

    command: Literal["on", "off", "approve", "reject"]
    approval: bool = False
    variant_request_id: UUID | None = None


class AutopilotCommand(AutopilotOrder):
    """An order with its id, under the key `autopilot-command:{lp_id}`."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    command_id: UUID
    tenant_id: TenantId
    lp_id: LpId
    requested_ms: Ms

    @property
    def key(self) -> bytes:
        """The key of the record."""
        return f"autopilot-command:{self.lp_id}".encode()


class AutopilotState(Model):
    """The state of a page's autopilot, under the key `autopilot:{lp_id}`; only the optimizer writes it.

    `number` counts the states. `command_id` is the last command that was carried out. `command_ms` is when it was given
    or carried out, the later of both; 0 in states of earlier releases. `autopilot_id` is the command that switched
    autopilot on. `rounds` counts the variants that were asked for, `asked_ms` has the times of the last ones.
    `finding` is what the variant answers, in words, and `about` the same for programs. `tried` has each `about` that
    led to nothing. Step and reason hold since `since_ms`.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    tenant_id: TenantId
    lp_id: LpId
    epoch: Count
    number: Count
    on: bool
    approval: bool
    step: StepName
    command_id: UUID
    command_ms: Ms = 0
    autopilot_id: UUID
    rounds: Count = 0
    asked_ms: list[Ms] = Field(default_factory=list, max_length=MOST_ASKED)
    finding: Annotated[str, Field(max_length=1_000)] = ""
    about: Annotated[str, Field(max_length=300)] = ""
    tried: list[str] = Field(default_factory=list, max_length=MOST_TRIED)
    variant_request_id: UUID | None = None
    variant_lp_id: LpId | None = None
    preview_url: Address | None = None
    experiment_id: UUID | None = None
    since_ms: Ms
    reason: Reason = ""

    @property
    def key(self) -> bytes:
        """The key of the record."""
        return f"autopilot:{self.lp_id}".encode()

    @property
    def order(self) -> tuple[int, int]:
        """The place of this state among all states of the page's autopilot."""
        return self.epoch, self.number


def variant_request_of(state: AutopilotState) -> UUID:
    """Return the id of the request of the next round: the same, however often the step is tried."""
    return uuid5(state.autopilot_id, f"{state.lp_id}:{state.rounds}")


def experiment_of(variant_request_id: UUID) -> UUID:
    """Return the id of the experiment that tests a variant: the same, however often the step is tried."""
    return uuid5(variant_request_id, "experiment")
