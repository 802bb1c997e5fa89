"""One look at an experiment: from its counts of each minute to weights and a verdict."""

from math import log

import numpy as np

from processors.experiments import betting
from processors.experiments.blocks import Blocks, cut
from processors.experiments.guards import harm, mismatch
from processors.experiments.posterior import Belief, believe, top_two, visits_needed
from processors.experiments.shapes import Evidence, Floats, Learned, Rules, Verdict

__all__ = ["Evidence", "Learned", "Rules", "Verdict", "learn"]

DAY_S = 86_400
FIRST_BETS = 1.2  # the log evidence that most of the bets cost before one of them has won


def learn(rules: Rules, evidence: Evidence, seed: int) -> Learned:
    """Return the conclusion from the evidence. Arm 0 is the control. Equal arguments give equal answers.

    The weights stay as they are until a block of minutes has ended (`blocks.py`). Without `evidence.current` that needs
    the same `seed`, and no late beacon.
    """
    arms = evidence.weights.shape[1]
    if not 0 <= rules.floor * arms <= 1:
        raise ValueError(f"floor: {rules.floor} times {arms} arms is more than 1")
    blocks = cut(evidence, rules.returning)
    dispersion = _dispersion(blocks)
    belief = believe(rules, blocks, dispersion, seed)
    ready = bool((blocks.pageviews.sum(axis=0) >= rules.first).all())
    weights = top_two(belief.draws, rules.floor) if ready and rules.policy == "bandit" else np.full(arms, 1 / arms)
    if evidence.current is not None and not _moves(evidence, blocks):
        weights = np.array(evidence.current)
    rates = _rates(evidence, dispersion, rules.alpha)
    if stop := _stop(rules, evidence, blocks):
        return Learned(tuple(weights.tolist()), rates, stop[0], None, stop[1], None)
    missing = _missing(blocks, belief.leader, dispersion, rules.alpha)
    winner, reason = _decision(rules, blocks, belief, weights, missing) if ready else (None, _collecting(rules))
    # without goals the estimate is only the usual need of experiments
    known = ready and winner is None and evidence.conversions.any()
    needed = visits_needed(belief, weights, np.where(missing > 0, missing + FIRST_BETS, 0.0)) if known else None
    verdict: Verdict = "running" if winner is None else "winner"
    return Learned(tuple(weights.tolist()), rates, verdict, winner, reason, needed)


def _moves(evidence: Evidence, blocks: Blocks) -> bool:
    """Return whether a block has ended under the present weights. Late beacons move no weights."""
    return blocks.rows > 0 and (evidence.changes is None or evidence.changes[blocks.rows - 1] == 0)


def _dispersion(blocks: Blocks) -> float:
    """Return by which factor goals vary from day to day more than independent pageviews do."""
    counts, pageviews = blocks.by_time(DAY_S, blocks.conversions, blocks.pageviews)
    return betting.dispersion(np.minimum(counts, pageviews), pageviews)


def _rates(evidence: Evidence, dispersion: float, alpha: float) -> tuple[tuple[float, float, float], ...]:
    """Return the rate of each arm with its interval.

    The intervals hold at all looks, so they need no ended block.
    """
    pageviews = evidence.pageviews.sum(axis=0)
    conversions = np.minimum(evidence.conversions.sum(axis=0), pageviews)
    return tuple(
        (hits / views if views else 0.0, *betting.interval(hits / dispersion, views / dispersion, alpha))
        for hits, views in zip(conversions.tolist(), pageviews.tolist(), strict=True)
    )


def _stop(rules: Rules, evidence: Evidence, blocks: Blocks) -> tuple[Verdict, str] | None:
    if not len(blocks.starts_s):
        return None
    if reason := mismatch(blocks, rules.returning):
        return "mismatch", reason
    if reason := harm(evidence, blocks, rules.returning, rules.before):
        return "guard", reason
    return None


def _missing(blocks: Blocks, leader: int, dispersion: float, alpha: float) -> Floats:
    """Return the log evidence that the leader still needs against each other arm, times the dispersion.

    A wrong winner needs one of `arms` events, each with a chance of at most alpha / arms.
    """
    products = betting.better(blocks.conversions, blocks.pageviews, leader)
    arms = blocks.pageviews.shape[1]
    return dispersion * (log(arms / alpha) - betting.log_evidence(products, dispersion))


def _decision(rules: Rules, blocks: Blocks, belief: Belief, weights: Floats, missing: Floats) -> tuple[int | None, str]:
    """Return the winner, or None, and why."""
    leader = belief.leader
    if (missing <= 0).all():
        reason = (
            f"arm {leader} has more goals a pageview than every other arm: "
            f"the chance of a wrong winner is at most {rules.alpha:.0%} over all looks"
        )
    elif belief.loss < rules.loss:
        reason = f"arm {leader} is expected to lose only {belief.loss:.3%} goals a pageview against the best arm"
    else:
        return None, f"arm {leader} leads; the difference may still be chance"
    if wait := _waiting(rules, blocks, belief, weights):
        return None, f"{reason}; {wait}"
    return leader, reason


def _waiting(rules: Rules, blocks: Blocks, belief: Belief, weights: Floats) -> str | None:
    """Return why the decision waits, or None if a week is over or waiting loses too much."""
    elapsed = float(blocks.ended_s - blocks.starts_s[0])
    rates = belief.draws.mean(axis=0)
    lost = float(rates[belief.leader] - weights @ rates) * float(blocks.pageviews.sum()) / elapsed
    remaining = rules.week_s - elapsed
    if remaining <= 0 or lost * remaining > rules.patience:
        return None
    return f"the decision waits {remaining / DAY_S:.1f} days more until a whole week is counted"


def _collecting(rules: Rules) -> str:
    return f"each arm needs {rules.first} pageviews before anything is said"
