"""`lpstream bench --only bandit`: the statistics of experiments on simulated visitors.

Each policy meets the same visitors. The references are an equal split with our test, and GrowthBook's rules: the chance
to win of gbstats 0.8.0 with its normal posteriors, looked at as often, and the weights of its bandit.
"""

import time
from collections.abc import Callable, Iterable
from math import erf, sqrt
from statistics import median
from typing import Any

import numpy as np

from processors.experiments.learning import Evidence, Rules, learn
from streams.proof.bench.bandit_world import Choice, Outcome, Page, Policy, Table, run, world
from streams.proof.bench.frame import Row, Say, quiet, row

VISITS, A_MINUTE = 20_000, 10.0
SAME, BETTER = np.array([[0.03, 0.03]]), np.array([[0.03, 0.045]])
FIVE = np.array([[0.03, 0.03, 0.033, 0.036, 0.045]])
DAY_S = 86_400


def bandit(*, rounds: int, say: Say = quiet, experiments: int = 1_000) -> list[Row]:
    """Return the rows `bandit`. Each is one run of many experiments, so `rounds` is not used."""
    parts = (false_winners, right_winners, five_arms, changed_taste, mismatches, seconds_a_look)
    rows = []
    for part in parts:
        say(part.__name__.replace("_", " "))
        rows += part(experiments, say)
    return rows


def false_winners(experiments: int, say: Say) -> list[Row]:
    """Return how often a winner is named among two equal arms, over all looks."""
    rows = []
    for name, returning in (("visitors come once", 0.0), ("half of the visits return to their arm", 0.5)):
        page = Page(SAME, VISITS, A_MINUTE, returning=returning)
        ours = _all(page, experiments, our_policy(Rules("bandit")), say)
        theirs = _all(page, experiments * 3 // 10, growthbook, say)
        detail = {"experiments": experiments, "stopped": sum(end.stopped for end in ours), "pageviews": VISITS}
        text = f"A/A, a winner named, {name}: GrowthBook's chance to win, looked at as often"
        rows.append(row("bandit", text, _named(ours), "%", _named(theirs), detail, digits=1))
    return rows


def right_winners(experiments: int, say: Say) -> list[Row]:
    """Return how often and how soon 4.5 % wins against 3 %."""
    return _against_others("3 % against 4.5 %", Page(BETTER, VISITS, A_MINUTE), experiments * 3 // 10, say)


def five_arms(experiments: int, say: Say) -> list[Row]:
    """Return how five arms do, of which the last is best."""
    return _against_others("five arms", Page(FIVE, 3 * VISITS, A_MINUTE), experiments // 10, say)


def _against_others(name: str, page: Page, experiments: int, say: Say) -> list[Row]:
    ours, equal, theirs = (
        _all(page, experiments, policy, say)
        for policy in (our_policy(Rules("bandit")), our_policy(Rules("fixed")), growthbook)
    )
    best = page.rates.shape[1] - 1
    detail = {"bandit": _summary(ours, best), "equal": _summary(equal, best), "growthbook": _summary(theirs, best)}
    lost, lost_equal, lost_theirs = (float(np.mean([end.lost for end in ends])) for ends in (ours, equal, theirs))
    right, right_equal = _named(ours, best), _named(equal, best)
    return [
        row("bandit", f"{name}, right winner: equal split", right, "%", right_equal, detail, digits=1),
        row("bandit", f"{name}, goals lost: equal split", lost, "goals", lost_equal, detail, digits=1),
        row("bandit", f"{name}, goals lost: GrowthBook's rules", lost, "goals", lost_theirs, detail, digits=1),
    ]


def changed_taste(experiments: int, say: Say) -> list[Row]:
    """Return which part of the last week's visits goes to the best arm, when taste has changed half-way.

    The experiment runs for 28 days. The detail says what happens if it may be decided.
    """
    halves = np.repeat([[0.045, 0.03], [0.03, 0.045]], VISITS // 2, axis=0)
    page, count = Page(halves, VISITS, VISITS / (28 * 1_440)), experiments // 20
    fading, usual, keeping = (
        _all(page, count, our_policy(Rules("bandit", half_life_s=days * DAY_S), decide=False), say)
        for days in (3, 14, 1e9)
    )
    decided = [end for end in _all(page, count, our_policy(Rules("bandit")), say) if end.winner is not None]
    detail = {
        "experiments": count,
        "half_life_14_days": round(_late(usual), 1),
        "goals_lost": [round(float(np.mean([end.lost for end in ends])), 1) for ends in (fading, usual, keeping)],
        "named_before_the_change": sum(end.decided_at <= VISITS // 2 for end in decided),
        "named_after_it_old_best": sum(end.decided_at > VISITS // 2 and end.winner == 0 for end in decided),
        "named_after_it_new_best": sum(end.decided_at > VISITS // 2 and end.winner == 1 for end in decided),
    }
    text = "taste changes half-way, best arm's part of the last week at a half-life of 3 days: without fading"
    return [row("bandit", text, _late(fading), "%", _late(keeping), detail, digits=1)]


def mismatches(experiments: int, say: Say) -> list[Row]:
    """Return after how many visits a loss of pageviews is seen: 20 % are planned for an arm, 33 % come."""
    page = Page(np.full((1, 5), 0.03), VISITS, A_MINUTE, returning=0.3, shown=(1.0, 0.5, 0.5, 0.5, 0.5))
    ends = _all(page, experiments // 10, our_policy(Rules("fixed")), say)
    at = [end.decided_at for end in ends if end.stopped]
    detail = {"experiments": len(ends), "stopped": len(at), "most": max(at, default=0)}
    text = "33 % of pageviews in an arm of 20 %: visits until it stops"
    return [row("bandit", text, median(at or [0]), "visits", None, detail)]


def seconds_a_look(experiments: int, say: Say) -> list[Row]:
    """Return the time of one look at 30 days of minutes."""
    rows = []
    for arms in (2, 6):
        rng = np.random.default_rng(arms)
        pageviews = rng.poisson(5.0, (30 * 1_440, arms))
        clicks = rng.poisson(0.05 * pageviews)
        conversions, weights = rng.binomial(pageviews, 0.03), np.full(pageviews.shape, 1 / arms)
        evidence = Evidence(np.arange(len(pageviews)) * 60, pageviews, conversions, clicks, clicks, weights)
        times = []
        for seed in range(30):
            started = time.process_time()
            learn(Rules("bandit"), evidence, seed)
            times.append(1_000 * (time.process_time() - started))
        detail = {"pageviews": int(pageviews.sum()), "least": round(min(times), 1)}
        rows.append(row("bandit", f"a look at 30 days, {arms} arms", median(times), "ms", None, detail, digits=1))
    return rows


def _all(page: Page, experiments: int, policy: Callable[[int], Policy], say: Say) -> list[Outcome]:
    """Return an outcome for each seed. The same seed gives each policy the same visitors."""
    ends = []
    for seed in range(experiments):
        ends.append(run(world(page, seed), policy(seed)))
        if (seed + 1) % max(1, experiments // 4) == 0:
            say(f"{seed + 1:,} of {experiments:,} experiments")
    return ends


def our_policy(rules: Rules, *, decide: bool = True) -> Callable[[int], Policy]:
    """Return our statistics as a policy, by seed; without `decide` a winner is never named."""

    def seeded(seed: int) -> Policy:
        def policy(evidence: Evidence) -> Choice:
            learned = learn(rules, evidence, seed)
            stopped = learned.verdict in ("mismatch", "guard")
            return np.array(learned.weights), learned.winner if decide else None, stopped

        return policy

    return seeded


def growthbook(seed: int) -> Policy:
    """Return GrowthBook's rules: its weights, and a winner at 95 % against each other arm."""

    def policy(evidence: Evidence) -> Choice:
        pageviews, goals = evidence.pageviews.sum(axis=0), evidence.conversions.sum(axis=0)
        arms = len(goals)
        if pageviews.sum() < 100 * arms or (goals == 0).any():
            return np.full(arms, 1 / arms), None, False
        best = int(np.argmax(goals / pageviews))
        chances = [chance_to_win(goals, pageviews, best, arm) for arm in range(arms) if arm != best]
        winner = best if min(chances) >= 0.95 else None
        return _top_two_of_normals(goals, pageviews, seed), winner, False

    return policy


def chance_to_win(goals: Table, pageviews: Table, arm: int, other: int) -> float:
    """Return the chance that `arm` beats `other`, as gbstats computes it without a prior."""
    rates = goals / pageviews
    variances = rates * (1 - rates) / pageviews
    distance = (rates[arm] - rates[other]) / sqrt(variances[arm] + variances[other])
    return 0.5 * (1 + erf(distance / sqrt(2)))


def _top_two_of_normals(goals: Table, pageviews: Table, seed: int) -> Table:
    """Return how often an arm is the best or the second of a draw, at least 1 %."""
    rates = goals / pageviews
    draws = np.random.default_rng(seed).normal(rates, np.sqrt(rates * (1 - rates) / pageviews), (2_000, len(rates)))
    weights = np.bincount(np.argsort(draws, axis=1)[:, -2:].ravel(), minlength=len(rates)) / 4_000
    weights = np.maximum(weights, 0.01)
    return np.asarray(weights / weights.sum())


def _named(ends: Iterable[Outcome], arm: int | None = None) -> float:
    """Return the per cent of experiments with a winner, or with the winner `arm`."""
    return 100 * float(np.mean([end.winner is not None if arm is None else end.winner == arm for end in ends]))


def _late(ends: list[Outcome]) -> float:
    return 100 * float(np.nanmean([end.late_share for end in ends]))


def _summary(ends: list[Outcome], best: int) -> dict[str, Any]:
    decided = [end.decided_at for end in ends if end.winner is not None]
    return {
        "experiments": len(ends),
        "right": round(_named(ends, best), 1),
        "wrong": round(_named(ends) - _named(ends, best), 1),
        "visits_median": round(median(decided)),
        "visits_nine_of_ten": round(float(np.quantile(decided, 0.9))),
        "goals_lost": round(float(np.mean([end.lost for end in ends])), 1),
    }
