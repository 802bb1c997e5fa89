"""Many experiments in one traffic: bursts, drifting rates, late beacons, rows added up after a day.

All experiments have the traffic's pageviews in each row, so they have the same blocks. Arms and goals are drawn for
each experiment. Blocks, bets and weights are those of `processors/experiments`, without the dispersion.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from processors.experiments import betting
from processors.experiments.blocks import cut
from processors.experiments.evidence import _with_changes, folded
from processors.experiments.guards import MISMATCH_ALPHA
from processors.experiments.learning import Rules
from processors.experiments.posterior import beta, top_two
from processors.experiments.shapes import Evidence
from schemas.experiments import Goal, PageCounts

Table = NDArray[np.int64]
START_S, HOUR_S, DAY_S, DRAWS, DELAYS = 1_800_000_000 // 86_400 * 86_400, 3_600, 86_400, 100, 6
NO_GOALS = dict.fromkeys(Goal, 0)


@dataclass(frozen=True)
class World:
    """The pageviews of each minute, and the rates of goals at that time."""

    pageviews: Table
    rates: NDArray[np.float64]
    lifts: tuple[float, ...] = (1.0, 1.0)
    late: float = 0.2  # of pageviews and goals, by one to five minutes, of some by hours
    returning: float = 0.0
    minutes: bool = True  # goals happen up to minutes after their pageview


def burst(views: int, minutes: int, rates: list[float], tail_min: int = 1_620) -> World:
    """Return a world of a burst with these rates in equal parts of it, then nearly nothing for a day."""
    pageviews = np.concatenate([np.full(minutes, views), np.tile([2, *[0] * 59], tail_min // 60)])
    parts = np.repeat(rates, -(-minutes // len(rates)))[:minutes]
    return World(pageviews, np.concatenate([parts, np.full(len(pageviews) - minutes, rates[-1])]))


def drifting(seed: int, minutes: int = 2_040) -> World:
    """Return a world with bursts of mails, rates that drift and jump, and a day and a half of time."""
    rng, at = np.random.default_rng(seed), np.arange(minutes)
    rate = np.full(minutes, rng.choice([0.2, 1.0, 3.0]))
    daily = 0.8 * np.sin(2 * np.pi * (at / 1_440 + rng.random()))
    rates = np.exp(log(0.03) + daily + rng.normal(0, 0.05, minutes).cumsum())
    for _ in range(rng.integers(1, 6)):
        begin = rng.integers(0, minutes - 60)
        rate[begin : begin + rng.integers(2, 60)] = rng.choice([50, 100, 300, 1_000])
    for _ in range(rng.integers(0, 4)):
        begin = rng.integers(0, minutes)
        rates[begin : begin + rng.integers(20, 400)] *= rng.choice([0.1, 0.3, 3, 10])
    return World(rng.poisson(rate), np.clip(rates, 0.001, 0.4))


class Experiments:
    """Experiments in one world. Tables have shape (rows, experiments, arms)."""

    def __init__(self, world: World, experiments: int, seed: int, rules: Rules, *, merge: str = "weights") -> None:
        self.world, self.rules, self.merge, self.rng = world, rules, merge, np.random.default_rng(seed)
        rows, arms = len(world.pageviews) + DELAYS, len(world.lifts)
        self.views, self.goals = np.zeros((2, rows, experiments, arms), np.int64)
        self.weights = np.full((experiments, arms), 1 / arms)
        self.totals = np.zeros(rows, np.int64)  # pageviews of a row, the same in each experiment
        self.points, self.past = [(START_S, [1.0])], [self.weights]
        self.pool = np.zeros((experiments, arms), np.int64)
        self.coming: dict[int, list[tuple[int, Table, Table]]] = {}
        self.held: list[PageCounts] = []
        self.held_until = 0
        self.winner, self.at = np.full(experiments, -1), np.full(experiments, -1)
        self.stopped = np.zeros(experiments, bool)

    def run(self) -> "Experiments":
        """Look after each minute with pageviews, and at each hour in which older rows are added up."""
        for minute, count in enumerate(self.world.pageviews.tolist()):
            self._visits(minute, count)
            come = self.coming.pop(minute, [])
            for row, views, goals in come:
                self.views[row] += views
                self.totals[row] += views[0].sum()
                self.goals[row] += goals
            now_s = START_S + 60 * (minute + 1)
            turned = self._hold((now_s - DAY_S) // HOUR_S * HOUR_S)
            if turned or (come and (count > 5 or minute % 30 == 0)):
                self._look(minute, now_s)
        return self

    def _visits(self, minute: int, count: int) -> None:
        """Draw the arms and goals of a minute, and note when their beacons come."""
        back = round(count * self.world.returning) if self.pool.any() else 0
        known = self.pool / np.maximum(self.pool.sum(axis=1), 1)[:, None]
        for part, each in ((count - back, self.weights), (back, known)):
            late = self.rng.binomial(part, self.world.late)
            hours = self.rng.random() < 0.03
            delay = int(self.rng.integers(30, 240) if hours else self.rng.integers(1, DELAYS))
            for some, wait in ((part - late, 0), (late, delay)):
                if some:
                    views = self.rng.multinomial(some, each)
                    self.pool = self.pool + views
                    self._arrive(minute, minute + wait, views, np.zeros_like(views))
                    self._convert(minute, wait, views)

    def _convert(self, minute: int, wait: int, views: Table) -> None:
        goals = self.rng.binomial(views, np.minimum(self.world.rates[minute] * np.array(self.world.lifts), 0.9))
        for after in range(DELAYS if self.world.minutes else 1):
            now = goals if after == DELAYS - 1 or not self.world.minutes else self.rng.binomial(goals, 0.6)
            goals = goals - now
            self._arrive(minute + after, minute + after + wait, np.zeros_like(views), now)

    def _arrive(self, row: int, at: int, views: Table, goals: Table) -> None:
        if START_S + 60 * row >= self.held_until:
            self.coming.setdefault(at, []).append((row, views, goals))

    def _hold(self, edge_s: int) -> bool:
        """Add up the rows before the edge."""
        begin, end = ((max(START_S, each) - START_S) // 60 for each in (self.held_until, edge_s))
        end = min(end, len(self.world.pageviews))
        rows = self._rows(begin, end)
        self.held_until = max(self.held_until, edge_s)
        self.coming = {at: [one for one in many if one[0] >= end] for at, many in self.coming.items()}
        if self.merge != "nothing":
            rows = folded(rows, self.points if self.merge == "weights" else [])
        self.held += rows
        return bool(rows)

    def _rows(self, begin: int, end: int) -> list[PageCounts]:
        """Return the rows of the minutes with pageviews, without arms."""
        seen = begin + np.flatnonzero(self.totals[begin:end])
        return [
            PageCounts("", START_S + 60 * row, 60, int(self.totals[row]), 0, NO_GOALS, 0, 0) for row in seen.tolist()
        ]

    def _look(self, minute: int, now_s: int) -> None:
        rows = [*self.held, *self._rows((max(self.held_until, START_S) - START_S) // 60, minute + 1)]
        names = ("start_s", "span_s", "pageviews")
        starts, spans, views = (np.array([getattr(row, name) for row in rows], np.int64) for name in names)
        total, none = views[:, None], np.zeros((len(rows), 1), np.int64)
        evidence = Evidence(starts, total, none, none, none, np.ones(total.shape))
        if self.merge != "hours":
            evidence = _with_changes(evidence, starts + spans, self.points, now_s)
        blocks = cut(evidence, self.rules.returning)
        if not blocks.rows:
            return
        ends = np.append(blocks.starts_s[1:], starts[blocks.rows - 1] + spans[blocks.rows - 1])
        edges = (np.append(blocks.starts_s[:1], ends) - START_S) // 60
        sums = [np.add.reduceat(table[: edges[-1]], edges[:-1], axis=0) for table in (self.views, self.goals)]
        pageviews, goals = sums[0], np.minimum(sums[1], sums[0])
        self._judge(minute, edges, pageviews, goals)
        if evidence.changes is None or evidence.changes[blocks.rows - 1] == 0:
            self._move(blocks.starts_s, pageviews, goals, now_s)

    def _judge(self, minute: int, edges: Table, pageviews: Table, goals: Table) -> None:
        arms, running = pageviews.shape[2], (self.winner < 0) & ~self.stopped
        seen = np.maximum(np.searchsorted([time for time, _ in self.points], START_S + 60 * edges[1:]) - 1, 0)
        past = np.array(self.past)
        least, most = (each.accumulate(past, axis=0)[seen] for each in (np.minimum, np.maximum))
        q, now = self.rules.returning, past[seen]
        total = pageviews.sum(axis=2, keepdims=True)
        hits = np.concatenate([pageviews, total - pageviews], axis=2)
        share = np.concatenate([(1 - q) * now + q * most, 1 - (1 - q) * now - q * least], axis=2)
        flat = [np.broadcast_to(each, hits.shape).reshape(len(hits), -1) for each in (hits, total, share)]
        odd = betting.log_evidence(betting.log_products(*flat), (1 + q) / (1 - q)).reshape(-1, 2 * arms)
        self.stopped |= running & (np.log(np.exp(odd).mean(axis=1)) >= -log(MISMATCH_ALPHA))
        for arm in range(arms):
            enough = running & ~self.stopped
            for other in range(arms):
                if other != arm:
                    pair = np.stack([each[:, :, [arm, other]] for each in (goals, pageviews)])
                    both = (pair[1] > 0).all(axis=2)
                    views = np.maximum(pair[1].sum(axis=2), 1)
                    hits, of, share = pair[0][:, :, 0] * both, pair[0].sum(axis=2) * both, pair[1][:, :, 0] / views
                    products = betting.log_products(hits, of, share, views)
                    enough &= betting.log_evidence(products, 1.0) >= log(arms / self.rules.alpha)
            self.winner[enough], self.at[enough] = arm, pageviews.sum(axis=(0, 2)).max()

    def _move(self, starts_s: Table, pageviews: Table, goals: Table, now_s: int) -> None:
        if self.rules.policy != "bandit":
            return
        fading = np.exp2((starts_s - starts_s[-1]) / self.rules.half_life_s)
        hits, misses = beta(*(np.tensordot(fading, each, 1) for each in (pageviews, goals)))
        ready = (pageviews.sum(axis=0) >= self.rules.first).all(axis=1)[:, None]
        moved = top_two(self.rng.beta(hits, misses, size=(DRAWS, *hits.shape)), self.rules.floor)
        self.weights = np.where(ready, moved, self.weights)
        self.points.append((now_s + 1, [1.0]))
        self.past.append(self.weights)
