"""The autopilot of a page: it computes the next step from the page's state and the facts.

A page is `watching` until a finding is certain. Then a variant is `asked` for, is `waiting_approval` if a person must
see it first, is `ready`, and is `testing` in an experiment. After it, autopilot is `resting` for a week.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from processors.experiments.asking import key_of, next_finding, variant_of
from processors.findings.report import Finding
from schemas.autopilot import MOST_ASKED, MOST_TRIED, AutopilotCommand, AutopilotState, experiment_of
from schemas.autopilot import variant_request_of as request_of
from schemas.experiments import ExperimentCommand, ExperimentState
from schemas.generation import Result, VariantRequest

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
ANSWER_MS = DAY_MS  # a request without a result for so long has failed


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a page at this moment.

    `experiment` is the newest experiment on the page. `elsewhere` is another page whose experiment has this page as an
    arm. `page` and `variant` say whether these pages exist. `findings` and `result` are None until they are read. The
    tenant may ask for `left` more variants. `obstacle` says why an experiment cannot start.
    """

    experiment: ExperimentState | None = None
    elsewhere: str | None = None
    page: bool = True
    variant: bool = True
    findings: Sequence[Finding] | None = None
    result: Result | None = None
    left: int = MOST_ASKED
    obstacle: Callable[[ExperimentCommand], str | None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Next:
    """The next state, and the records to write with it: a request, a start or a stop of an experiment."""

    state: AutopilotState
    request: VariantRequest | None = None
    starts: ExperimentCommand | None = None
    stops: str | None = None


def needs(state: AutopilotState, facts: Facts, now_ms: int) -> Literal["findings", "result", "pages"] | None:
    """Return the kind of facts to read for the next step, or None."""
    if state.step == "asked":
        return "result"
    if _waits(facts) is not None:
        return None
    if state.step == "ready":
        return "pages"
    return "findings" if state.step == "watching" and _limit_reached(state, facts, now_ms) is None else None


def next_step(state: AutopilotState, facts: Facts, *, epoch: int, now_ms: int) -> Next | None:
    """Return the next step, or None if there is none now."""
    turn = _Turn(state, facts, epoch, now_ms)
    if not state.on:
        return None
    if not facts.page:
        return turn.off("the page is not published any more, so autopilot is off")
    steps = {
        "watching": _watching,
        "asked": _asked,
        "waiting_approval": _waiting,
        "ready": _ready,
        "testing": _testing,
        "resting": _resting,
    }
    return steps[state.step](turn)


def step_after(
    command: AutopilotCommand, before: AutopilotState | None, facts: Facts, *, epoch: int, now_ms: int
) -> Next | None:
    """Return the step after a person's command, or None if the command was carried out before."""
    if before is not None and before.command_id == command.command_id:
        return None
    state = before or _fresh(command, epoch, now_ms)
    done = {"command_id": command.command_id, "command_ms": max(command.requested_ms, now_ms)}
    turn = _Turn(state.model_copy(update=done), facts, epoch, now_ms)
    if command.command == "on":
        return turn.on(command)
    if command.command == "off":
        return turn.off("a person has switched autopilot off")
    meant = command.variant_request_id in (None, state.variant_request_id)
    if not state.on or state.step != "waiting_approval" or not meant:
        return turn.to(state.step, f"{command.command}: no variant waits for approval", since_ms=state.since_ms)
    if command.command == "approve":
        return turn.to("ready", "a person has approved the variant")
    return turn.to("resting", "a person has rejected the variant; autopilot rests for a week", **turn.tried())


def _fresh(command: AutopilotCommand, epoch: int, now_ms: int) -> AutopilotState:
    return AutopilotState(
        tenant_id=command.tenant_id,
        lp_id=command.lp_id,
        epoch=epoch,
        number=0,
        on=False,
        approval=False,
        step="watching",
        command_id=command.command_id,
        autopilot_id=command.command_id,
        since_ms=now_ms,
        reason="",
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    """A state with the facts and the time. Its methods return the next states."""

    state: AutopilotState
    facts: Facts
    epoch: int
    now_ms: int

    def to(self, step: str, reason: str, **change: object) -> Next:
        """Return the next state, at this step."""
        numbers = {"epoch": self.epoch, "number": self.state.number + 1, "since_ms": self.now_ms}
        values = self.state.model_dump(by_alias=True) | numbers | {"step": step, "reason": reason[:1_000]} | change
        return Next(AutopilotState.model_validate(values))

    def stay(self, reason: str) -> Next | None:
        """Return the same step with a new reason, or None if the reason is the same."""
        if self.state.reason == reason:
            return None
        return self.to(self.state.step, reason, since_ms=self.state.since_ms)

    def on(self, command: AutopilotCommand) -> Next:
        """Return the state after the order `on`. A variant of this week still counts after off and on."""
        change: dict[str, object] = {"on": True, "approval": command.approval, "tenant_id": command.tenant_id}
        if not self.state.on:
            change |= {"autopilot_id": command.command_id, "tried": []}
        unseen = self.state.step == "ready" and command.approval and not self.state.approval
        step = "waiting_approval" if unseen else self.state.step
        begins = not self.state.on and step == "watching"
        return self.to(step, "autopilot is on", since_ms=self.now_ms if begins else self.state.since_ms, **change)

    def off(self, reason: str) -> Next:
        """Return the state that is off. The experiment that autopilot has started stops, too."""
        rests = self.state.step != "watching"
        since_ms = self.now_ms if rests and self.state.step != "resting" else self.state.since_ms
        step = self.to("resting" if rests else "watching", reason, on=False, since_ms=since_ms)
        running = self.mine is not None and self.mine.status == "running"
        return Next(step.state, stops=reason) if running else step

    def tried(self) -> dict[str, object]:
        """Return the change that notes the finding as tried."""
        return {"tried": [*self.state.tried, self.state.about][-MOST_TRIED:]}

    @property
    def mine(self) -> ExperimentState | None:
        """The page's experiment if this round of autopilot started it, else None."""
        request_id, experiment = self.state.variant_request_id, self.facts.experiment
        if request_id is None or experiment is None or experiment.experiment_id != experiment_of(request_id):
            return None
        return experiment


def _waits(facts: Facts) -> str | None:
    """Return why autopilot must wait for a person's experiment, or None."""
    if facts.experiment is not None and facts.experiment.status == "running":
        return f"waits for experiment {facts.experiment.experiment_id}, which runs on the page"
    if facts.elsewhere is not None:
        return f"waits for the experiment on {facts.elsewhere}, of which the page is an arm"
    return None


def _limit_reached(state: AutopilotState, facts: Facts, now_ms: int) -> str | None:
    """Return which limit on variants is reached, or None."""
    if len(recent(state, now_ms)) >= MOST_ASKED:
        return f"{MOST_ASKED} variants were asked for within a week; autopilot waits"
    return "the tenant has asked for as many variants this week as it may (week_variants)" if facts.left <= 0 else None


def recent(state: AutopilotState, now_ms: int) -> list[int]:
    """Return the times of this page's requests within the last week."""
    return [asked_ms for asked_ms in state.asked_ms if asked_ms > now_ms - WEEK_MS]


def shown(lp_id: str, experiment: ExperimentState | None) -> str:
    """Return the page that visitors see while no experiment runs: a winner, else the page itself."""
    return experiment.shown if experiment is not None else lp_id


def _watching(turn: _Turn) -> Next | None:
    state, facts = turn.state, turn.facts
    if (why := _waits(facts) or _limit_reached(state, facts, turn.now_ms)) is not None:
        return turn.stay(why)
    if facts.findings is None:
        return None
    finding = next_finding(facts.findings, state.tried)
    if finding is None:
        tried = "each finding was tried; autopilot waits for another"
        return turn.stay(tried if facts.findings else "no finding is certain yet; autopilot waits for more visits")
    request_id = request_of(state)
    variant = variant_of(finding, shown(state.lp_id, facts.experiment))
    request = VariantRequest(request_id=request_id, tenant_id=state.tenant_id, variant=variant)
    step = turn.to(
        "asked",
        f"asked for a variant ({variant.change}) because of {key_of(finding)}",
        rounds=state.rounds + 1,
        asked_ms=[*recent(state, turn.now_ms), turn.now_ms],
        finding=finding.text[:1_000],
        about=key_of(finding),
        variant_request_id=request_id,
        variant_lp_id=None,
        preview_url=None,
        experiment_id=None,
    )
    return Next(step.state, request=request)


def _asked(turn: _Turn) -> Next | None:
    state, result = turn.state, turn.facts.result
    late = turn.now_ms - state.since_ms > ANSWER_MS
    if result is None or (result.request_id, result.tenant_id) != (state.variant_request_id, state.tenant_id):
        return _failed(turn, "no result came within a day") if late else None
    if result.lp_id is None or result.status not in ("completed", "degraded"):
        return _failed(turn, result.error.detail if result.error is not None else result.status)
    made = {"variant_lp_id": result.lp_id, "preview_url": result.preview_url}
    differs = f"the variant is made: {result.variant.differs[:600]}" if result.variant else "the variant is made"
    if state.approval:
        return turn.to("waiting_approval", f"{differs}; it waits for a person", **made)
    return turn.to("ready", differs, **made)


def _failed(turn: _Turn, why: str) -> Next:
    """Return the state after a request without a page: the next finding, or a rest after the last try."""
    more = len(recent(turn.state, turn.now_ms)) < MOST_ASKED
    then = "autopilot takes the next finding" if more else "autopilot rests for a week"
    step = "watching" if more else "resting"
    return turn.to(step, f"no variant was made: {why[:900]}; {then}", **turn.tried())


def _waiting(turn: _Turn) -> Next | None:
    return None if turn.state.approval else turn.to("ready", "no approval is needed any more")


def _ready(turn: _Turn) -> Next | None:
    state, request_id, variant = turn.state, turn.state.variant_request_id, turn.state.variant_lp_id
    if turn.mine is not None:  # the broker has no transactions, and an optimizer died between two records
        return turn.to("testing", "the experiment runs", experiment_id=turn.mine.experiment_id)
    if (why := _waits(turn.facts)) is not None:
        return turn.stay(why)
    if request_id is None or variant is None or not turn.facts.variant:
        return turn.to("resting", "the variant's page is gone; autopilot rests for a week")
    # the page itself is always an arm, because the experiment is at its address
    arms = dict.fromkeys((state.lp_id, shown(state.lp_id, turn.facts.experiment), variant))
    command = ExperimentCommand(
        command="start",
        experiment_id=experiment_of(request_id),
        tenant_id=state.tenant_id,
        lp_id=state.lp_id,
        arms=list(arms),
        requested_ms=turn.now_ms,
    )
    if (why := turn.facts.obstacle(command)) is not None:
        return turn.stay(f"the experiment cannot start: {why}")
    step = turn.to("testing", "an experiment tests the variant", experiment_id=command.experiment_id)
    return Next(step.state, starts=command)


def _testing(turn: _Turn) -> Next | None:
    experiment, rest = turn.mine, "autopilot rests for a week"
    if experiment is None:
        return turn.to("resting", f"a person has replaced the experiment; {rest}")
    if experiment.status == "stopped":
        return turn.to("resting", f"the experiment has ended: {experiment.reason[:900]}; {rest}", **turn.tried())
    if experiment.status == "decided" and experiment.winner == turn.state.variant_lp_id:
        return turn.to("resting", f"the variant has won and is the page now; {rest}", tried=[])
    if experiment.status == "decided":
        return turn.to("resting", f"{experiment.winner} has won against the variant; {rest}", **turn.tried())
    return None


def _resting(turn: _Turn) -> Next | None:
    if turn.now_ms - turn.state.since_ms < WEEK_MS:
        return None
    return turn.to("watching", "a week is over; autopilot looks for a finding")
