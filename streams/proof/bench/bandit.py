"""`lpstream bench --only bandit`: the statistics of experiments on simulated visitors.

Each policy meets the same visitors. The references are an equal split with our test, and GrowthBook's rules: the chance
to win of gbstats 0.8.0 with its normal posteriors, looked at as often, and the weights of its bandit.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from processors.experiments.learning import Evidence, Rules, learn
from streams.proof.bench.bandit_policies import GrowthBook, Ours
from streams.proof.bench.bandit_world import Ends, Page, Policy, run
from streams.proof.bench.frame import Row, Say, quiet, row

EXPERIMENTS, AT_ONCE = 1_000, 100
VISITS = 20_000
SAME, BETTER = np.array([[0.03, 0.03]]), np.array([[0.03, 0.045]])
FIVE = np.array([[0.03, 0.03, 0.033, 0.036, 0.045]])
DAY_S = 86_400
# from arms, experiments and seed to a policy
Maker = Callable[[int, int, int], Policy]


def bandit(*, rounds: int, say: Say = quiet, experiments: int = EXPERIMENTS) -> list[Row]:
    """Return the rows `bandit`. Each is one run of many experiments, so `rounds` is not used."""
    rows = []
    for part in (false_winners, right_winners, five_arms, changed_taste, mismatches, seconds_a_look):
        say(f"{part.__name__.replace('_', ' ')}, {experiments:,} experiments")
        rows += part(experiments)
    return rows


def false_winners(experiments: int) -> list[Row]:
    """Return how often a winner is named among two equal arms, over all looks."""
    rows = []
    for name, returning in (("visitors come once", 0.0), ("half of the visits return to their arm", 0.5)):
        page = Page(SAME, VISITS, returning=returning)
        ours, theirs = _all(page, experiments, ours_by(Rules("bandit"))), _all(page, experiments, GrowthBook)
        detail = {"experiments": experiments, "mismatches": int(ours.stopped.sum()), "visits": VISITS}
        text = f"A/A, a winner named, {name}: GrowthBook's chance to win, looked at as often"
        rows.append(row("bandit", text, _named(ours), "%", _named(theirs), detail, digits=1))
    return rows


def right_winners(experiments: int) -> list[Row]:
    """Return how often and how soon 4.5 % wins against 3 %."""
    return _against_others("3 % against 4.5 %", Page(BETTER, VISITS), experiments)


def five_arms(experiments: int) -> list[Row]:
    """Return how five arms do, of which the last is best."""
    return _against_others("five arms", Page(FIVE, 3 * VISITS), experiments // 5)


def _against_others(name: str, page: Page, experiments: int) -> list[Row]:
    makers: dict[str, Maker] = {
        "bandit": ours_by(Rules("bandit")),
        "equal": ours_by(Rules("fixed")),
        "growthbook_each_look": GrowthBook,
        "growthbook_one_look": partial(GrowthBook, first_look=page.visits),
    }
    ends, best = {key: _all(page, experiments, maker) for key, maker in makers.items()}, page.rates.shape[1] - 1
    detail = {key: _summary(end, best) for key, end in ends.items()}
    lost, lost_equal, _, lost_theirs = (float(end.lost.mean()) for end in ends.values())
    right, right_equal = _named(ends["bandit"], best), _named(ends["equal"], best)
    return [
        row("bandit", f"{name}, right winner: equal split", right, "%", right_equal, detail, digits=1),
        row("bandit", f"{name}, goals lost: equal split", lost, "goals", lost_equal, detail, digits=1),
        row(
            "bandit",
            f"{name}, goals lost: GrowthBook's weights, one look at the end",
            lost,
            "goals",
            lost_theirs,
            detail,
            digits=1,
        ),
    ]


def changed_taste(experiments: int) -> list[Row]:
    """Return which part of the last week's visits goes to the best arm, when taste has changed half-way.

    The experiment runs for 28 days. The detail says what happens if it may be decided.
    """
    experiments //= 5
    page = Page(np.repeat([[0.045, 0.03], [0.03, 0.045]], VISITS // 2, axis=0), VISITS, days=28.0)
    fading, usual, keeping = (
        _all(page, experiments, ours_by(Rules("bandit", half_life_s=days * DAY_S), decide=False))
        for days in (3, 14, 1e9)
    )
    decided = _all(page, experiments, ours_by(Rules("bandit")))
    after = decided.decided_at > VISITS // 2
    detail = {
        "experiments": experiments,
        "half_life_14_days": round(100 * float(usual.late.mean()), 1),
        "goals_lost": [round(float(ends.lost.mean()), 1) for ends in (fading, usual, keeping)],
        "named_before_the_change": int((~after).sum()),
        "named_after_it_old_best": int((after & (decided.winner == 0)).sum()),
        "named_after_it_new_best": int((after & (decided.winner == 1)).sum()),
    }
    text = "taste changes half-way, best arm's part of the last week at a half-life of 3 days: without fading"
    value, reference = 100 * float(fading.late.mean()), 100 * float(keeping.late.mean())
    return [row("bandit", text, value, "%", reference, detail, digits=1)]


def mismatches(experiments: int) -> list[Row]:
    """Return after how many visits a loss of pageviews is seen: 20 % are planned for an arm, 33 % come."""
    experiments //= 5
    page = Page(np.full((1, 5), 0.03), VISITS, returning=0.3, shown=(1.0, 0.5, 0.5, 0.5, 0.5))
    ends = _all(page, experiments, ours_by(Rules("fixed")))
    at = ends.decided_at[ends.stopped].tolist()
    detail = {"experiments": experiments, "stopped": len(at), "most": max(at, default=0)}
    return [
        row("bandit", "33 % of pageviews in an arm of 20 %: visits until it stops", median(at), "visits", None, detail)
    ]


def seconds_a_look(experiments: int) -> list[Row]:
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


def ours_by(rules: Rules, *, decide: bool = True) -> Maker:
    """Return the maker of our policy; without `decide` a winner is never named."""
    return lambda arms, experiments, seed: Ours(rules, arms, experiments, seed, decide=decide)


def _all(page: Page, experiments: int, maker: Maker) -> Ends:
    """Return the ends of many experiments. The same seed gives each policy the same visitors."""
    parts = []
    for seed in range(0, experiments, AT_ONCE):
        size = min(AT_ONCE, experiments - seed)
        parts.append(run(page, maker(page.rates.shape[1], size, seed), size, seed))
    return Ends(*(np.concatenate([getattr(part, name) for part in parts]) for name in Ends.__slots__))


def _named(ends: Ends, arm: int | None = None) -> float:
    """Return the per cent of experiments with a winner, or with the winner `arm`."""
    return 100 * float((ends.winner >= 0 if arm is None else ends.winner == arm).mean())


def _summary(ends: Ends, best: int) -> dict[str, Any]:
    decided = ends.decided_at[ends.winner >= 0]
    return {
        "experiments": len(ends.winner),
        "right": round(_named(ends, best), 1),
        "wrong": round(_named(ends) - _named(ends, best), 1),
        "visits_median": round(float(np.median(decided))),
        "visits_nine_of_ten": round(float(np.quantile(decided, 0.9))),
        "goals_lost": round(float(ends.lost.mean()), 1),
    }
