"""The next state of an experiment, after a command or a look at the counts."""

from collections.abc import Callable, Collection, Mapping

from processors.experiments.assignment import KEPT_S
from processors.experiments.shapes import Evidence, Learned, Rules
from schemas.experiments import MOST_SEEN, ExperimentCommand, ExperimentState, Policy, Refused

DAY_S = 86_400
MOST_RUNNING = 5_000
FIELDS = ("experiment_id", "tenant_id", "lp_id", "arms", "goals", "policy", "floor", "half_life_days", "requested_ms")
States = Mapping[str, ExperimentState]


def rules_of(state: ExperimentState, loss: float) -> Rules:
    """Return the rules of an experiment."""
    policy: Policy = state.policy
    before = state.arms.index(state.fallback or state.lp_id)
    return Rules(policy, state.floor, state.half_life_days * DAY_S, loss=loss, before=before)


def carried_out(command: ExperimentCommand, state: ExperimentState | None) -> bool:
    """Return whether the state of the page follows from the command."""
    if state is None:
        return False
    if command.experiment_id in (state.after, state.refused.experiment_id if state.refused is not None else None):
        return True
    if state.experiment_id != command.experiment_id:
        return False
    if command.command == "start":
        return True
    if command.takes_back is None:  # a winner that was decided before the stop came is not taken back
        return state.status == "stopped" or state.winner not in (None, state.lp_id)
    # the earlier winner can be taken back after the experiment has ended
    return state.status == "stopped" and command.takes_back != state.fallback


def handled(command: ExperimentCommand, state: ExperimentState | None) -> bool:
    """Return whether there is nothing to do for the command: a stop ends no other experiment."""
    other = state is not None and state.experiment_id != command.experiment_id
    return carried_out(command, state) or (other and command.command == "stop")


def under_way(command: ExperimentCommand, state: ExperimentState | None) -> bool:
    """Return whether the optimizer has not come to a command yet, by the state that it has shown last."""
    return not carried_out(command, state) and (state is None or state.started_ms <= command.requested_ms)


def obstacle(command: ExperimentCommand, states: States, owns: Callable[[str, str], bool]) -> str | None:
    """Return why an experiment cannot start, or None. `owns` says whether a tenant owns a page."""
    if foreign := [arm for arm in command.arms if not owns(command.tenant_id, arm)]:
        return f"arms: {foreign[0]} is no page of tenant {command.tenant_id}"
    if (other := busy(command.arms, states, command.lp_id)) is not None:
        return f"arms: {other[0]} is part of the experiment on {other[1]}; stop that first"
    if sum(state.status == "running" for state in states.values()) >= MOST_RUNNING:
        return f"{MOST_RUNNING} experiments run already; stop another first"
    return None


def busy(arms: Collection[str], states: States, lp_id: str) -> tuple[str, str] | None:
    """Return an arm that another page's experiment or winner binds, and that page."""
    for state in states.values():
        if state.lp_id != lp_id:
            for arm in state.bound:
                if arm in arms:
                    return arm, state.lp_id
    return None


def begun(
    command: ExperimentCommand, before: ExperimentState | None, *, epoch: int, now_ms: int, settle_s: float
) -> ExperimentState:
    """Return the first state of an experiment: equal weights."""
    share = 1 / len(command.arms)
    started_ms = max(now_ms, before.started_ms + 1) if before is not None else now_ms
    seen_ms = _seen(before, now_ms) if before is not None else {}
    won = before.shown if before is not None and before.shown in command.arms[1:] else None
    return ExperimentState(
        **command.model_dump(include=set(FIELDS)),
        epoch=epoch,
        number=0,
        status="running",
        weights=[share] * len(command.arms),
        reason="the experiment has started; each arm gets the same share",
        started_ms=started_ms,
        counted_from_ms=started_ms + round(settle_s * 1000),
        decided_ms=started_ms,
        held=[arm for arm in command.arms if arm in seen_ms],
        seen_ms=seen_ms,
        fallback=won,
    )


def _seen(before: ExperimentState, now_ms: int) -> dict[str, int]:
    """Return the arms that visitors' cookies may name, each with its last time in ms."""
    ran = before.refused is None or before.refused.experiment_id != before.experiment_id
    times = before.seen_ms | (dict.fromkeys(before.arms, before.decided_ms) if ran else {})
    newest = sorted((time_ms, arm) for arm, time_ms in times.items() if now_ms - time_ms < KEPT_S * 1000)
    return {arm: time_ms for time_ms, arm in newest[-MOST_SEEN:]}


def refused(command: ExperimentCommand, before: ExperimentState | None, why: str, **times: int) -> ExperimentState:
    """Return the state after a start that cannot be: an experiment that runs on the page goes on."""
    refusal = Refused(experiment_id=command.experiment_id, reason=why)
    if before is not None:
        return _next(before, times["epoch"], before.decided_ms, refused=refusal)  # nothing was decided now
    state = begun(command, None, epoch=times["epoch"], now_ms=times["now_ms"], settle_s=0)
    return stopped(state, f"not started: {why}", **times).model_copy(update={"number": 0, "refused": refusal})


def stopped(state: ExperimentState, reason: str, *, epoch: int, now_ms: int) -> ExperimentState:
    """Return the state of an experiment without a winner: visitors see the page of before again."""
    weights = [float(arm == (state.fallback or state.lp_id)) for arm in state.arms]
    if state.fallback is not None:
        reason = f"{reason}; the earlier winner is the page again"
    change = {"weights": weights, "winner": None, "reason": reason, "visits_needed": None}
    return _next(state, epoch, now_ms, status="stopped", **change)


def stopped_by_person(state: ExperimentState, command: ExperimentCommand, **times: int) -> ExperimentState:
    """Return the state after a person's stop. If it takes a winner back, visitors see the page itself."""
    if command.takes_back is not None:
        state = state.model_copy(update={"fallback": None})
    seen = "" if state.fallback is not None else "; the page is itself again"
    return stopped(state, f"stopped by a person{seen}", **times)


def undecided(state: ExperimentState, most_days: int, *, epoch: int, now_ms: int) -> ExperimentState | None:
    """Return the end of an experiment that runs for `most_days` days, or None if it goes on.

    Days before them are cold and cannot be counted. The promise does not hold for statistics of the other days alone.
    """
    if now_ms - state.started_ms < most_days * DAY_S * 1000:
        return None
    return stopped(state, f"no decision within {most_days} days", epoch=epoch, now_ms=now_ms)


def learned(
    state: ExperimentState, evidence: Evidence, outcome: Learned, *, epoch: int, now_ms: int
) -> ExperimentState | None:
    """Return the next state after a look, or None if nothing has changed."""
    pageviews, conversions = (each.sum(axis=0).tolist() for each in (evidence.pageviews, evidence.conversions))
    counts = {
        "pageviews": pageviews,
        "conversions": conversions,
        "rates": [tuple(_share(each) for each in rate) for rate in outcome.rates],
        "visits_needed": outcome.visits_needed,
        "reason": outcome.reason,
    }
    if outcome.verdict in ("mismatch", "guard"):
        state = state.model_copy(update=counts)
        reason = f"stopped ({outcome.verdict}): {outcome.reason}"
        return stopped(state, reason, epoch=epoch, now_ms=now_ms)
    if outcome.verdict == "winner" and outcome.winner is not None:
        weights = [float(arm == outcome.winner) for arm in range(len(state.arms))]
        winner = state.arms[outcome.winner]
        beaten = {"fallback": None} if winner == state.lp_id else {}  # it does not come back by a stop
        return _next(state, epoch, now_ms, **counts, **beaten, status="decided", winner=winner, weights=weights)
    weights = _sum_to_one(outcome.weights)
    same = (state.pageviews, state.conversions, state.weights) == (pageviews, conversions, weights)
    return None if same else _next(state, epoch, now_ms, **counts, weights=weights)


def _next(state: ExperimentState, epoch: int, now_ms: int, **change: object) -> ExperimentState:
    times = {"epoch": epoch, "number": state.number + 1, "decided_ms": max(now_ms, state.decided_ms)}
    # validated again: the result of the statistics must be a state
    return ExperimentState.model_validate(state.model_dump(by_alias=True) | times | change)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _sum_to_one(weights: tuple[float, ...]) -> list[float]:
    """Return the weights, rounded for the record, with the sum 1."""
    *rest, _ = (round(weight, 6) for weight in weights)
    return [*rest, round(1 - sum(rest), 6)]
