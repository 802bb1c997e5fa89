"""Simulated visitors of many pages at once, for `bandit.py`: each policy meets the same visitors."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from processors.experiments.blocks import bounds

Table = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """The rates of the arms, and the arrivals of visitors."""

    rates: Table  # goals a visit: shape (visits or 1, arms)
    visits: int
    days: float = 1.4
    returning: float = 0.0  # the part of visits by visitors who came before; they keep their arm
    shown: tuple[float, ...] = ()  # by arm: the chance that a visit is counted; empty: 1


@dataclass(frozen=True, slots=True)
class Look:
    """The answers of a policy after a block, for each experiment."""

    weights: Table  # (experiments, arms)
    winner: Table  # (experiments,), -1 without
    stopped: Table  # (experiments,), true where the experiment ends without a winner


class Policy(Protocol):
    """A policy for many experiments at once."""

    def look(self, days: float, pageviews: Table, conversions: Table) -> Look:
        """Take the counts of a block, of shape (experiments, arms), that ends after `days`."""
        ...


@dataclass(frozen=True, slots=True)
class Ends:
    """How experiments end: arrays of shape (experiments,)."""

    winner: Table
    decided_at: Table  # visits until a winner or a stop; all visits without
    stopped: Table
    lost: Table  # goals that are expected to be lost against the best arm, in all visits
    late: Table  # the part of the last quarter of visits that the arm got which is best at the end


def run(page: Page, policy: Policy, experiments: int, seed: int) -> Ends:
    """Return how experiments end. A winner gets all later visits."""
    rng, arms = np.random.default_rng(seed), page.rates.shape[1]
    rows = np.arange(experiments)[:, None]
    visitors = _visitors(page, experiments, rng)
    moods: Table = np.asarray(rng.random(visitors.shape, dtype=np.float32))  # by visitor: which arm the weights give
    arm_of = np.full(visitors.shape, -1, np.int8)
    look = Look(np.full((experiments, arms), 1 / arms), np.full(experiments, -1), np.zeros(experiments, bool))
    decided_at = np.full(experiments, page.visits)
    lost, late = np.zeros(experiments), np.zeros((2, experiments))
    ends = [*bounds(page.visits - 1).tolist(), page.visits]
    for at, end in pairwise(ends):
        numbers = visitors[:, at:end]
        drawn = (moods[rows, numbers][..., None] >= look.weights.cumsum(axis=1)[:, None, :-1]).sum(axis=-1)
        given = np.where(arm_of[rows, numbers] >= 0, arm_of[rows, numbers], drawn)
        arm_of[rows, numbers] = given
        given = np.where(look.winner[:, None] >= 0, look.winner[:, None], given)
        rates = np.broadcast_to(page.rates, (page.visits, arms))[at:end]
        rate = rates[np.arange(end - at), given]
        lost += (rates.max(axis=1) - rate).sum(axis=1)
        if at >= page.visits * 3 // 4:
            late += np.stack([(given == int(page.rates[-1].argmax())).sum(axis=1), np.full(experiments, end - at)])
        counts = _counts(page, given, rate, rng)
        running = (look.winner < 0) & ~look.stopped
        new = policy.look(page.days * end / page.visits, *counts)
        winner, stopped = np.where(running, new.winner, look.winner), np.where(running, new.stopped, look.stopped)
        look = Look(new.weights, winner, stopped)
        decided_at[running & ((winner >= 0) | stopped)] = end
    return Ends(look.winner, decided_at, look.stopped, lost, late[0] / late[1])


def _counts(page: Page, given: Table, rate: Table, rng: np.random.Generator) -> tuple[Table, Table]:
    """Return the pageviews that are counted and the goals of a block, by experiment and arm."""
    arms = page.rates.shape[1]
    seen = rng.random(given.shape) < np.array(page.shown or [1.0] * arms)[given]
    goals = seen & (rng.random(given.shape) < rate)
    by_arm = given[..., None] == np.arange(arms)
    return (seen[..., None] & by_arm).sum(axis=1), (goals[..., None] & by_arm).sum(axis=1)


def _visitors(page: Page, experiments: int, rng: np.random.Generator) -> Table:
    """Return the number of each visit's visitor: shape (experiments, visits)."""
    visitors = np.tile(np.arange(page.visits, dtype=np.int32), (experiments, 1))
    for row in visitors if page.returning else ():
        back = rng.random(page.visits) < page.returning
        back[0] = False
        firsts = np.flatnonzero(~back)
        known = np.searchsorted(firsts, row[back])  # visitors before each later visit; late ones come more often
        row[back] = firsts[(known * rng.beta(2, 1, len(known))).astype(np.int64)]
    return visitors
