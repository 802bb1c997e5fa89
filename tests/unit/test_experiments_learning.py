"""Experiments: which weights follow from counts, and when a winner, a mismatch or a guard is named."""

from dataclasses import replace
from itertools import product
from math import log

import numpy as np
import pytest
import scipy  # it loads scipy.stats at the first use: not in every worker of the tests
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.experiments import betting
from processors.experiments.blocks import cut
from processors.experiments.evidence import TABLES
from processors.experiments.guards import _clicks_together
from processors.experiments.learning import Evidence, Learned, Rules, learn
from processors.experiments.posterior import believe, top_two
from streams.proof.bench.bandit import ours_by
from streams.proof.bench.bandit_policies import Ours, distance
from streams.proof.bench.bandit_world import Page, run

MINUTE_S, DAY_S = 60, 86_400
BANDIT, FIXED = Rules("bandit"), Rules("fixed")
MISSING = ("shallow", "rage_squares")  # tables that the evidence of these tests does not have
SAME, BETTER = np.array([[0.03, 0.03]]), np.array([[0.03, 0.045]])


def evidence(
    pageviews: np.ndarray, conversions: np.ndarray, weights: list[float] | None = None, seconds: int = MINUTE_S
) -> Evidence:
    """Evidence of rows of `seconds` each, without dead or rage clicks."""
    none = np.zeros_like(pageviews)
    shares = np.full(pageviews.shape, 1 / pageviews.shape[1]) if weights is None else np.tile(weights, (len(none), 1))
    return Evidence(np.arange(len(none)) * seconds, pageviews, conversions, none, none, shares)


def steady(rows: int, pageviews: list[int], conversions: list[int], **more: object) -> Evidence:
    """The same counts in each row."""
    return evidence(np.tile(pageviews, (rows, 1)), np.tile(conversions, (rows, 1)), **more)  # type: ignore[arg-type]


def drawn(rates: list[float], rows: int, a_row: int, seed: int, seconds: int = MINUTE_S) -> Evidence:
    """Counts drawn under equal weights."""
    rng = np.random.default_rng(seed)
    pageviews = rng.multinomial(a_row, np.full(len(rates), 1 / len(rates)), size=rows)
    return evidence(pageviews, rng.binomial(pageviews, rates), seconds=seconds)


COUNTS = st.integers(2, 6).flatmap(
    lambda arms: st.lists(
        st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), min_size=arms, max_size=arms), min_size=1, max_size=30
    )
)


def table(counts: list[list[tuple[int, float]]]) -> Evidence:
    pageviews = np.array([[views for views, _ in row] for row in counts])
    return evidence(pageviews, np.array([[int(views * part) for views, part in row] for row in counts]))


@settings(deadline=None, max_examples=60)
@given(COUNTS, st.sampled_from(["bandit", "fixed"]), st.integers(0, 2**32))
def test_weights_sum_to_one_and_keep_the_floor(counts: list[list[tuple[int, float]]], policy: str, seed: int) -> None:
    rules = Rules(policy)  # type: ignore[arg-type]
    learned = learn(rules, table(counts), seed)
    assert sum(learned.weights) == pytest.approx(1)
    assert min(learned.weights) >= rules.floor - 1e-12
    assert learned == learn(rules, table(counts), seed)
    for estimate, low, high in learned.rates:
        assert 0 <= low <= estimate <= high <= 1
    assert (learned.verdict == "winner") == (learned.winner is not None)


def test_no_evidence_gives_equal_weights() -> None:
    for arms in range(2, 7):
        learned = learn(BANDIT, evidence(np.zeros((0, arms), int), np.zeros((0, arms), int)), 1)
        assert learned.weights == pytest.approx([1 / arms] * arms)
        assert (learned.verdict, learned.rates[0]) == ("running", (0.0, 0.0, 1.0))


def test_weights_are_equal_until_each_arm_has_its_first_pageviews() -> None:
    assert learn(BANDIT, steady(9, [10, 90], [5, 1]), 1).weights == (0.5, 0.5)
    moved = learn(replace(BANDIT, returning=0.99), steady(10, [10, 90], [5, 1]), 1)
    assert moved.weights[0] > 0.6


def test_a_floor_that_no_split_can_keep_is_refused() -> None:
    with pytest.raises(ValueError, match="floor"):
        learn(replace(BANDIT, floor=0.4), steady(1, [1, 1, 1], [0, 0, 0]), 1)


def test_the_better_arm_gets_more_weight_and_the_fixed_policy_none() -> None:
    counts = steady(20, [50, 50, 50], [1, 2, 5])
    weights = learn(BANDIT, counts, 1).weights
    assert weights[2] > weights[1] >= weights[0]
    assert learn(FIXED, counts, 1).weights == pytest.approx([1 / 3] * 3)


def test_old_evidence_fades_by_the_half_life() -> None:
    counts = np.repeat([[[6, 2]], [[2, 6]]], 20, axis=0).reshape(40, 2)
    older = evidence(np.full((40, 2), 100), counts, seconds=DAY_S)
    keeping = learn(replace(BANDIT, half_life_s=1e12), older, 1)
    fading = learn(replace(BANDIT, half_life_s=3 * DAY_S), older, 1)
    assert keeping.weights[1] == pytest.approx(0.5, abs=0.1)
    assert fading.weights[1] > 0.65


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 250), st.integers(0, 1_000))
def test_minutes_that_end_no_block_change_rates_alone(rows: int, seed: int) -> None:
    counts = drawn([0.1, 0.2], rows, 7, seed)
    more = Evidence(*(getattr(counts, name)[: rows - 1] for name in Evidence.__slots__[:6]))
    ended = len(cut(counts, 0.5).starts_s) != len(cut(more, 0.5).starts_s)
    now, then = learn(BANDIT, counts, seed), learn(BANDIT, more, seed)
    assert ended or replace(now, rates=then.rates) == then


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=40))
def test_blocks_hold_all_pageviews_up_to_the_last_end(each_row: list[int]) -> None:
    blocks = cut(steady(1, [0, 0], [0, 0]) if not each_row else table([[(n, 0.0), (0, 0.0)] for n in each_row]), 0.5)
    sums = blocks.pageviews.sum(axis=1)
    before = np.concatenate([[0], sums.cumsum()])
    assert (sums >= np.minimum(100, 1)).all()
    assert before[-1] + max(101, 0.02 * before[-1]) > 0.98 * sum(each_row)
    assert len(sums) <= 101 + max(0, log(max(sum(each_row), 1) / 10_000) / log(1.01)) + 1


# the bets


@pytest.mark.parametrize(("ours", "theirs"), [(1, 1), (3, 5), (9, 2), (1, 12)])
@pytest.mark.parametrize(("rate", "other"), [(0.03, 0.03), (0.3, 0.3), (0.9, 0.9), (0.1, 0.4), (0.0, 0.5)])
def test_no_bet_gains_by_expectation_if_the_arm_is_not_better(
    ours: int, theirs: int, rate: float, other: float
) -> None:
    expected = np.zeros(len(betting.LOG_ODDS))
    for hits, others in product(range(ours + 1), range(theirs + 1)):
        gains = betting.better(np.array([[hits, others]]), np.array([[ours, theirs]]), 0)[:, 0]
        expected += (
            scipy.stats.binom.pmf(hits, ours, rate) * scipy.stats.binom.pmf(others, theirs, other) * np.exp(gains)
        )
    assert (expected <= 1 + 1e-9).all()


@given(st.integers(1, 60), st.integers(1, 60), st.data())
@settings(deadline=None, max_examples=100)
def test_a_bet_is_at_most_the_exact_likelihood_ratio(ours: int, theirs: int, data: st.DataObject) -> None:
    of = data.draw(st.integers(1, ours + theirs - 1))
    hits = scipy.stats.hypergeom(ours + theirs, ours, of)
    values = np.arange(of + 1)
    exact = np.array([log((hits.pmf(values) * np.exp(odds * values)).sum()) for odds in betting.LOG_ODDS])
    shares = np.array([[ours / (ours + theirs)]])
    ours_bound = -betting.log_products(np.array([[0]]), np.array([[of]]), shares, np.array([[ours + theirs]]))[:, 0]
    assert (ours_bound >= exact - 1e-9).all()
    with_replacement = of * np.log1p(ours / (ours + theirs) * np.expm1(betting.LOG_ODDS))
    assert (ours_bound <= with_replacement + 1e-9).all()


def test_powers_for_dispersion_never_add_evidence() -> None:
    products = np.random.default_rng(1).normal(0, 4, (len(betting.LOG_ODDS), 50))
    plain = betting.log_evidence(products, 1.0)
    for factor in (1.5, 4.0):
        assert (betting.log_evidence(products, factor) <= np.maximum(plain, 0) + 1e-9).all()


def test_dispersion_is_one_for_independent_counts_and_more_for_clusters() -> None:
    rng = np.random.default_rng(3)
    pageviews = np.full((60, 2), 1_000)
    assert betting.dispersion(rng.binomial(pageviews, 0.05), pageviews) < 1.3
    clusters = 5 * rng.binomial(pageviews // 5, 0.05)
    assert 2.5 < betting.dispersion(clusters, pageviews) < 6.5
    weekdays = rng.binomial(pageviews, np.tile([0.02, 0.08], 30)[:, None])
    assert betting.dispersion(weekdays, pageviews) < 1.3


@pytest.mark.parametrize(("hits", "views"), [(0, 50), (3, 100), (450, 10_000), (7, 7)])
def test_an_interval_is_the_mixture_of_binomials_inverted(hits: int, views: int) -> None:
    low, high = betting.interval(hits, views, 0.05)
    mixed = scipy.stats.betabinom.logpmf(hits, views, 0.5, 0.5)
    for edge in (low, high):
        if 0 < edge < 1:
            assert mixed - scipy.stats.binom.logpmf(hits, views, edge) == pytest.approx(log(20), abs=0.01)
    classic = scipy.stats.binomtest(hits, views).proportion_ci(0.95)
    assert low <= classic.low
    assert high >= classic.high


def test_intervals_hold_the_rate_at_all_looks() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(100):
        hits = (rng.random(5_000) < 0.04).cumsum()
        missed += any(
            not low <= 0.04 <= high
            for low, high in (betting.interval(int(hits[at - 1]), at, 0.05) for at in range(25, 5_001, 25))
        )
    assert missed <= 8


# verdicts


def test_equal_arms_rarely_have_a_winner() -> None:
    ends = run(Page(SAME, 10_000), ours_by(BANDIT)(2, 100, 1), 100, 1)
    assert (ends.winner >= 0).sum() <= 5


def test_a_rate_half_as_high_again_wins_within_20_000_pageviews() -> None:
    ends = run(Page(BETTER, 20_000), ours_by(BANDIT)(2, 50, 1), 50, 1)
    assert (ends.winner == 1).sum() >= 45


@pytest.mark.parametrize("rates", [[0.03, 0.06], [0.02, 0.03, 0.05]])
def test_many_simulated_experiments_decide_as_a_look_does(rates: list[float]) -> None:
    counts = drawn(rates, 80, 100, 3)
    policy = Ours(FIXED, len(rates), 1, 1)
    for row in range(80):
        upto = Evidence(*(getattr(counts, name)[: row + 1] for name in Evidence.__slots__[:6]))
        learned = learn(FIXED, upto, 1)
        look = policy.look(row / 1_440, counts.pageviews[[row]], counts.conversions[[row]])
        assert look.winner[0] == (-1 if learned.winner is None else learned.winner), row
    assert learned.winner == len(rates) - 1


def test_many_simulated_experiments_move_weights_as_a_look_does() -> None:
    counts = drawn([0.03, 0.04, 0.05], 60, 100, 3, seconds=DAY_S)
    rules = replace(BANDIT, half_life_s=5 * DAY_S, returning=0.99)
    policy = Ours(rules, 3, 400, 1)
    for row in range(60):
        many = [np.repeat(table[[row]], 400, axis=0) for table in (counts.pageviews, counts.conversions)]
        look = policy.look(float(row), *many)
    expected = believe(rules, cut(counts, 0.5), 1.0, 1)
    assert look.weights.mean(axis=0) == pytest.approx(top_two(expected.draws, rules.floor), abs=0.03)


def test_rates_are_those_of_all_pageviews() -> None:
    learned = learn(BANDIT, steady(1, [20, 20], [5, 2]), 1)
    assert [rate for rate, *_ in learned.rates] == [0.25, 0.1]


def test_the_control_can_win() -> None:
    learned = learn(BANDIT, drawn([0.06, 0.03], 2_000, 10, 1), 1)
    assert (learned.verdict, learned.winner, learned.visits_needed) == ("winner", 0, None)


def test_the_best_of_five_arms_wins() -> None:
    assert learn(BANDIT, drawn([0.03, 0.03, 0.03, 0.03, 0.06], 3_000, 10, 1), 1).winner == 4


def test_two_equal_leaders_of_three_have_no_winner() -> None:
    learned = learn(BANDIT, drawn([0.02, 0.06, 0.06], 2_000, 10, 2), 1)
    assert (learned.verdict, learned.winner) == ("running", None)


def test_rates_of_day_and_night_do_not_make_a_winner() -> None:
    """Weights that follow the hour of the day: all pageviews of an arm together would mislead."""
    rng, winners = np.random.default_rng(7), 0
    day = np.arange(4_000) // 500 % 2 == 0
    for _ in range(20):
        weights = np.where(day, 0.8, 0.2)
        ours = rng.binomial(10, weights)
        pageviews = np.stack([ours, 10 - ours], axis=1)
        counts = evidence(pageviews, rng.binomial(pageviews, np.where(day, 0.08, 0.02)[:, None]))
        counts = replace(counts, weights=np.stack([weights, 1 - weights], axis=1))
        assert counts.conversions[:, 0].sum() / ours.sum() > 1.5 * counts.conversions[:, 1].sum() / (10 - ours).sum()
        winners += learn(BANDIT, counts, 1).verdict == "winner"
    assert winners <= 2


def test_a_decision_waits_for_a_week_unless_waiting_loses_much() -> None:
    early = drawn([0.03, 0.06], 90, 100, 1, seconds=3_600)
    patient = replace(BANDIT, patience=1_000.0)
    assert "whole week" in learn(patient, early, 1).reason
    assert learn(patient, early, 1).verdict == "running"
    assert learn(BANDIT, early, 1).winner == 1
    assert learn(patient, drawn([0.03, 0.06], 170, 100, 1, seconds=3_600), 1).winner == 1


def test_a_small_expected_loss_ends_an_experiment() -> None:
    counts = drawn([0.03, 0.03], 20_000, 10, 1)
    assert learn(BANDIT, counts, 1).verdict == "running"
    ended = learn(replace(BANDIT, loss=0.002), counts, 1)
    assert ended.verdict == "winner"
    assert "expected to lose" in ended.reason


def test_arms_that_vary_from_day_to_day_need_more_evidence() -> None:
    rng = np.random.default_rng(11)
    pageviews = np.full((20, 2), 500)
    conversions = np.stack([np.full(20, 20), np.full(20, 28)], axis=1)
    assert learn(BANDIT, evidence(pageviews, conversions, seconds=DAY_S), 1).winner == 1
    moody = conversions + 15 * rng.permutation(np.tile([-1, 1], 10))[:, None] * [1, -1]
    assert moody.sum(axis=0).tolist() == conversions.sum(axis=0).tolist()
    assert learn(BANDIT, evidence(pageviews, moody, seconds=DAY_S), 1).verdict == "running"


def test_visits_needed_are_of_the_right_size() -> None:
    needed = [learn(FIXED, drawn([0.03, 0.045], 200, 10, seed), 1) for seed in range(40)]
    likely = [one.visits_needed for one in needed if one.winner is None and one.visits_needed]
    assert 2_000 < float(np.median(likely)) < 20_000
    none = np.zeros((10, 2), int)
    assert learn(FIXED, evidence(none, none), 1).visits_needed is None
    assert learn(FIXED, evidence(none + 200, none), 1).visits_needed is None


# mismatch


def test_a_third_of_the_pageviews_in_an_arm_of_a_fifth_is_a_mismatch() -> None:
    learned = learn(BANDIT, steady(200, [6, 3, 3, 3, 3], [0, 0, 0, 0, 0]), 1)
    assert (learned.verdict, learned.winner) == ("mismatch", None)
    assert "arm 0 got 33.3% of the pageviews, its weights explain 20.0%" in learned.reason


def test_shares_that_follow_moving_weights_are_no_mismatch() -> None:
    rng = np.random.default_rng(2)
    share = np.linspace(0.5, 0.9, 3_000)
    ours = rng.binomial(10, share)
    counts = evidence(np.stack([ours, 10 - ours], axis=1), np.zeros((3_000, 2), int))
    assert learn(BANDIT, replace(counts, weights=np.stack([share, 1 - share], axis=1)), 1).verdict == "running"
    assert learn(BANDIT, counts, 1).verdict == "mismatch"


def test_an_arm_that_never_loads_is_a_mismatch() -> None:
    assert learn(BANDIT, steady(200, [10, 0], [0, 0]), 1).verdict == "mismatch"


def test_returning_visitors_are_no_mismatch() -> None:
    ends = run(Page(SAME, 5_000, returning=0.5), ours_by(BANDIT)(2, 100, 1), 100, 1)
    assert not ends.stopped.any()


# guards


def clicks(rates: list[float], size: int, seed: int) -> np.ndarray:
    """Clicks in bursts of `size`, 1,500 rows of 10 pageviews an arm."""
    return size * np.random.default_rng(seed).poisson(10 * np.array(rates) / size, (1_500, len(rates)))


def test_an_arm_with_three_times_the_dead_clicks_stops_the_experiment() -> None:
    counts = replace(steady(1_500, [10, 10], [0, 0]), dead_clicks=clicks([0.05, 0.15], 3, 1))
    learned = learn(BANDIT, counts, 1)
    assert learned.verdict == "guard"
    assert "arm 1 has many more dead clicks" in learned.reason


def of_three_days(dead: np.ndarray) -> Evidence:
    """20 pageviews a minute and arm with these dead clicks: two days by hour, the last by minute."""
    minutes = replace(steady(len(dead), [20, 20], [0, 0]), dead_clicks=dead, dead_squares=dead**2)
    starts = np.concatenate([np.arange(0, 2_880, 60), np.arange(2_880, len(dead))])
    tables = {name: np.add.reduceat(getattr(minutes, name), starts) for name in TABLES if name not in MISSING}
    return replace(minutes, starts_s=60 * starts, weights=minutes.weights[starts], **tables)


def test_an_arm_with_twice_the_dead_clicks_stops_an_experiment_of_days() -> None:
    dead = np.random.default_rng(1).poisson([1.0, 2.0], (4_320, 2))
    days = of_three_days(dead)
    learned = learn(BANDIT, days, 1)
    assert learned.verdict == "guard" and "arm 1 has many more dead clicks" in learned.reason
    blocks = cut(days, 0.5)
    assert _clicks_together(days.dead_clicks, days.dead_squares, blocks, blocks.dead_clicks) < 3


@pytest.mark.parametrize("minute", [100, 4_000])
def test_one_visitor_s_burst_of_clicks_stops_no_experiment_of_days(minute: int) -> None:
    dead = np.zeros((4_320, 2), int)
    dead[minute, 1] = 60
    assert learn(BANDIT, of_three_days(dead), 1).verdict == "running"


def test_guards_compare_new_arms_with_the_earlier_winner() -> None:
    counts = steady(300, [10, 10, 10], [0, 0, 0])
    second, page_is_worse = replace(BANDIT, before=1), replace(counts, shallow=np.tile([7, 3, 3], (300, 1)))
    assert learn(second, page_is_worse, 1).verdict == "running", "the page itself is no new arm"
    worse = replace(counts, shallow=np.tile([7, 3, 7], (300, 1)))
    assert "arm 2 has many more" in learn(second, worse, 1).reason
    assert "than the earlier winner" in learn(second, worse, 1).reason
    two = replace(second, before=1), replace(steady(300, [10, 10], [0, 0]), shallow=np.tile([3, 7], (300, 1)))
    assert learn(*two, 1).verdict == "running"


@pytest.mark.parametrize(("rate", "size"), [(0.05, 1), (0.05, 5), (0.05, 30), (0.002, 30), (0.0002, 60)])
def test_bursts_of_clicks_in_equal_arms_stop_nothing(rate: float, size: int) -> None:
    for seed in range(20):
        counts = replace(steady(1_500, [10, 10], [0, 0]), rage_clicks=clicks([rate, rate], size, seed))
        assert learn(BANDIT, counts, 1).verdict == "running"


@pytest.mark.parametrize(
    ("size", "minutes", "rate", "seed"), [(30, 15, 0.05, 14), (20, 10, 0.03, 2), (10, 5, 0.02, 17)]
)
def test_clicks_of_a_visitor_over_minutes_stop_nothing(size: int, minutes: int, rate: float, seed: int) -> None:
    starts = np.random.default_rng(seed).poisson(10 * rate / size, (1_500, 2))
    spread = sum(np.roll(starts, click * minutes // size, axis=0) for click in range(size))
    assert learn(BANDIT, replace(steady(1_500, [10, 10], [0, 0]), dead_clicks=spread), 1).verdict == "running"


def test_a_control_with_more_dead_clicks_stops_nothing() -> None:
    counts = replace(steady(1_500, [10, 10], [0, 0]), dead_clicks=clicks([0.15, 0.05], 3, 1))
    assert learn(BANDIT, counts, 1).verdict == "running"


def test_an_arm_that_visitors_leave_early_stops_the_experiment() -> None:
    counts = replace(steady(300, [10, 10], [0, 0]), shallow=np.tile([3, 7], (300, 1)))
    assert "half of the page" in learn(BANDIT, counts, 1).reason


# odd input


def test_late_goals_and_minutes_without_pageviews_are_taken() -> None:
    pageviews = np.zeros((400, 2), int)
    pageviews[::4], conversions = 5, np.roll(pageviews // 5, 2, axis=0)
    learned = learn(BANDIT, evidence(pageviews, conversions), 1)
    assert isinstance(learned, Learned)
    assert learned.verdict == "running"


def test_goals_on_every_pageview_are_taken() -> None:
    learned = learn(BANDIT, steady(50, [10, 10], [10, 10]), 1)
    assert learned.rates[0][0] == 1.0
    assert learned.verdict == "running"


def test_the_chance_to_win_equals_that_of_gbstats() -> None:
    tests = pytest.importorskip("gbstats.bayesian.tests")
    models = pytest.importorskip("gbstats.models.statistics")
    arms = [models.ProportionStatistic(n=5_000, sum=150), models.ProportionStatistic(n=5_100, sum=190)]
    theirs = tests.EffectBayesianABTest(*arms, tests.EffectBayesianConfig(difference_type="absolute")).compute_result()
    rates, views = np.array([[150 / 5_000, 190 / 5_100]]), np.array([[5_000, 5_100]])
    errors = distance(rates, rates * (1 - rates) / views, np.array([1]))[0, 0]
    assert scipy.stats.norm.cdf(errors) == pytest.approx(theirs.chance_to_win)
