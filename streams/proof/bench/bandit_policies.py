"""Policies for many experiments at once, for `bandit.py`: ours, and GrowthBook's rules as the reference."""

from itertools import permutations
from math import log
from statistics import NormalDist

import numpy as np

from processors.experiments import betting
from processors.experiments.guards import MISMATCH_ALPHA
from processors.experiments.learning import Rules
from processors.experiments.posterior import beta, top_two
from streams.proof.bench.bandit_world import Look, Table

DRAWS = 200  # `learn` has 1,000
DAY_S = 86_400


class Ours:
    """The statistics of `learn`, block by block, without its dispersion, its guards and its week.

    A test compares both on the same counts.
    """

    def __init__(self, rules: Rules, arms: int, experiments: int, seed: int, *, decide: bool = True) -> None:
        self._rules, self._decide, self._rng = rules, decide, np.random.default_rng(seed)
        self._pairs = list(permutations(range(arms), 2))
        self._weights = np.full((experiments, arms), 1 / arms)
        self._low, self._high = self._weights, self._weights
        self._sums = np.zeros((2, experiments, arms))  # fading
        self._pageviews, self._days = np.zeros((experiments, arms)), 0.0
        self._better = np.zeros((len(betting.LOG_ODDS), experiments, len(self._pairs)))
        self._split = np.zeros((len(betting.LOG_ODDS), experiments, 2 * arms))

    def look(self, days: float, pageviews: Table, conversions: Table) -> Look:
        """Add a block."""
        rules, (experiments, arms) = self._rules, pageviews.shape
        stopped = self._mismatch(pageviews)
        self._pageviews = self._pageviews + pageviews
        fading = 0.5 ** ((days - self._days) * DAY_S / rules.half_life_s)
        self._days, self._sums = days, self._sums * fading + np.stack([pageviews, conversions])
        hits, misses = beta(self._sums[0], self._sums[1])
        ready = (self._pageviews >= rules.first).all(axis=1)
        if rules.policy == "bandit":
            moved = top_two(self._rng.beta(hits, misses, size=(DRAWS, experiments, arms)), rules.floor)
            self._weights = np.where(ready[:, None], moved, self._weights)
        leader = np.argmax(hits / (hits + misses), axis=1)
        decided = ready & self.decided(pageviews, conversions, leader)
        return Look(self._weights, np.where(decided & self._decide, leader, -1), stopped)

    def decided(self, pageviews: Table, conversions: Table, leader: Table) -> Table:
        """Add a block to the evidence, and return where the leader has enough."""
        for number, (arm, other) in enumerate(self._pairs):
            ours, theirs = pageviews[:, arm], pageviews[:, other]
            both = (ours > 0) & (theirs > 0)
            hits, of = conversions[:, arm] * both, (conversions[:, arm] + conversions[:, other]) * both
            views = np.maximum(ours + theirs, 1)
            self._better[:, :, number] += betting.log_products(hits[None], of[None], (ours / views)[None], views[None])
        evidence = betting.log_evidence(self._better, 1.0)
        arms = pageviews.shape[1]
        enough = evidence >= log(arms / self._rules.alpha)
        firsts = np.array([arm for arm, _ in self._pairs])
        return np.asarray((enough | (firsts != leader[:, None])).all(axis=1))

    def _mismatch(self, pageviews: Table) -> Table:
        q = self._rules.returning
        self._low, self._high = np.minimum(self._low, self._weights), np.maximum(self._high, self._weights)
        low, high = (1 - q) * self._weights + q * self._low, (1 - q) * self._weights + q * self._high
        total = pageviews.sum(axis=1, keepdims=True)
        hits, share = np.hstack([pageviews, total - pageviews]), np.hstack([high, 1 - low])
        of = np.broadcast_to(total, hits.shape)
        flat = betting.log_products(hits.reshape(1, -1), of.reshape(1, -1), share.reshape(1, -1))
        self._split += flat.reshape(self._split.shape)
        evidence = betting.log_evidence(self._split, (1 + q) / (1 - q))
        most = evidence.max(axis=1)
        return np.asarray(most + np.log(np.exp(evidence - most[:, None]).mean(axis=1)) >= -log(MISMATCH_ALPHA))


class GrowthBook:
    """GrowthBook's rules: the weights of its bandit, and a winner at a chance to win of 95 % against each other arm."""

    def __init__(self, arms: int, experiments: int, seed: int, *, first_look: int = 0) -> None:
        self._sums, self._rng = np.zeros((2, experiments, arms)), np.random.default_rng(seed)
        self._first_look = first_look  # visits before a person looks; the weights do not wait for it

    def look(self, days: float, pageviews: Table, conversions: Table) -> Look:
        """Add a block. It wants 100 visits an arm first."""
        self._sums += np.stack([pageviews, conversions])
        views, goals = self._sums
        arms = views.shape[1]
        ready = (views.sum(axis=1) >= 100 * arms) & (goals > 0).all(axis=1)
        rates = np.clip(goals, 0.5, None) / np.maximum(views, 1)
        variances = rates * (1 - rates) / np.maximum(views, 1)
        draws = self._rng.normal(rates, np.sqrt(variances), (DRAWS, *views.shape))
        shown = (np.argsort(draws, axis=2)[:, :, -2:, None] == np.arange(arms)).sum(axis=(0, 2)) / (2 * DRAWS)
        weights = np.maximum(shown, 0.01)
        weights = np.where(ready[:, None], weights / weights.sum(axis=1, keepdims=True), 1 / arms)
        best, looks = rates.argmax(axis=1), ready & (views.sum(axis=1) >= self._first_look)
        distances = distance(rates, variances, best)
        beaten = (distances >= NormalDist().inv_cdf(0.95)) | (np.arange(arms) == best[:, None])
        return Look(weights, np.where(looks & beaten.all(axis=1), best, -1), np.zeros(len(best), bool))


def distance(rates: Table, variances: Table, arm: Table) -> Table:
    """Return the standard errors from each arm to `arm`: their normal chance is gbstats' chance to win, no prior."""
    rows = np.arange(len(arm))
    gaps = rates[rows, arm][:, None] - rates
    return np.asarray(gaps / np.sqrt(variances[rows, arm][:, None] + variances))
