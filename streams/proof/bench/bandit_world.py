"""A simulated page with visitors, for `bandit.py`: each policy meets the same visitors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from processors.experiments.blocks import bounds
from processors.experiments.learning import Evidence

Table = np.ndarray[Any, Any]
# the weights for the next block, the winner if there is one, and whether the experiment stops without a winner
Choice = tuple[Table, int | None, bool]
Policy = Callable[[Evidence], Choice]


@dataclass(frozen=True, slots=True)
class World:
    """Visits in order of time: arrays of shape (visits,), but `rates` has (visits or 1, arms)."""

    minutes: Table
    visitors: Table  # the number of the visitor; a later visit of the same number keeps the arm
    arm_draws: Table  # by visitor: which arm the weights give
    goal_draws: Table
    rates: Table
    shown: Table  # by arm: the chance that a visit is counted; below 1, pageviews are lost

    @property
    def arms(self) -> int:
        """Return the number of arms."""
        return int(self.rates.shape[1])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one simulated experiment."""

    winner: int | None
    decided_at: int  # pageviews until a winner or a stop; all of them without
    lost: float  # goals that were expected to be lost against the best arm, in all visits
    stopped: bool
    late_share: float  # the part of the last quarter of visits that the arm got which is best at the end


@dataclass(frozen=True, slots=True)
class Page:
    """What a world is drawn from."""

    rates: Table  # goals a visit: shape (visits or 1, arms)
    visits: int
    a_minute: float
    returning: float = 0.0  # the part of visits by visitors who came before
    shown: tuple[float, ...] = ()  # by arm: the chance that a visit is counted; empty: 1


def world(page: Page, seed: int) -> World:
    """Return a world: visits come at random minutes, and a returning visitor keeps the arm."""
    visits = page.visits
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, max(1, int(visits / page.a_minute)), visits))
    visitors, back = np.arange(visits), rng.random(visits) < page.returning
    back[0] = False
    firsts = np.flatnonzero(~back)
    known = np.searchsorted(firsts, visitors[back])  # visitors before each later visit; the late ones come more often
    visitors[back] = firsts[(known * rng.beta(2, 1, len(known))).astype(np.int64)]
    shown = np.array(page.shown or [1.0] * page.rates.shape[1])
    return World(minutes, visitors, rng.random(visits), rng.random(visits), page.rates, shown)


def run(there: World, policy: Policy) -> Outcome:
    """Return the outcome of a policy, which looks whenever a block ends: between, nothing changes."""
    visits, arms, rows = len(there.minutes), there.arms, int(there.minutes[-1]) + 1
    tables = [np.zeros((rows, arms), np.int64) for _ in range(4)]
    weights, arm_of = np.full((rows, arms), 1 / arms), np.full(visits, -1)
    now: Table = np.full(arms, 1 / arms)
    at, winner, stopped, lost, counted = 0, None, False, 0.0, 0
    while at < visits and winner is None and not stopped:
        end = _block_end(there, at, counted)
        inside, numbers = slice(at, end), there.visitors[at:end]
        fresh = numbers[arm_of[numbers] < 0]
        arm_of[fresh] = np.searchsorted(now.cumsum()[:-1], there.arm_draws[fresh])
        given, minutes = arm_of[numbers], there.minutes[inside]
        lost += _lost(there, inside, given)
        seen = _counted(there, inside, given)
        goals = seen & (there.goal_draws[inside] < _rates(there, inside)[np.arange(end - at), given])
        np.add.at(tables[0], (minutes[seen], given[seen]), 1)
        np.add.at(tables[1], (minutes[goals], given[goals]), 1)
        upto = int(minutes[-1]) + 1
        weights[int(minutes[0]) : upto] = now
        counted += int(seen.sum())
        now, winner, stopped = policy(
            Evidence(np.arange(upto) * 60, *(table[:upto] for table in tables), weights[:upto])
        )
        at = end
    lost += 0.0 if winner is None else _lost(there, slice(at, visits), np.full(visits - at, winner))
    late = arm_of[there.visitors[visits * 3 // 4 : at]]
    share = float((late == int(there.rates[-1].argmax())).mean()) if len(late) else float("nan")
    return Outcome(winner, at, lost, stopped, share)


def _block_end(there: World, at: int, counted: int) -> int:
    """Return the number of the first visit after the block, which ends with a minute."""
    ends = bounds(2 * counted + 200)
    size = int(ends[np.searchsorted(ends, counted, side="right")]) - counted
    last = there.minutes[min(at + size, len(there.minutes)) - 1]
    return int(np.searchsorted(there.minutes, last, side="right"))


def _rates(there: World, inside: slice) -> Table:
    """Return the arms' rates at each of some visits."""
    return np.broadcast_to(there.rates, (len(there.minutes), there.arms))[inside]


def _lost(there: World, inside: slice, given: Table) -> float:
    rates = _rates(there, inside)
    return float((rates.max(axis=1) - rates[np.arange(len(given)), given]).sum())


def _counted(there: World, inside: slice, given: Table) -> Table:
    """Return which visits are counted, by the late digits of the goal's draw."""
    return np.asarray(there.goal_draws[inside] * 1_000 % 1 < there.shown[given])
