"""The belief of the bandit: Beta posteriors of fading counts, and the weights that follow from them."""

from dataclasses import dataclass

import numpy as np

from processors.experiments.blocks import Blocks
from processors.experiments.shapes import Floats, Rules

DRAWS = 1_000
# top-two sampling takes the best arm of a draw with this chance, else a challenger: 0.5 learns fastest, 1 loses least
LEADER = 0.7


@dataclass(frozen=True, slots=True)
class Belief:
    """Draws of the arms' rates: `draws` has shape (draws, arms)."""

    draws: Floats
    leader: int  # the arm with the highest expected rate

    @property
    def loss(self) -> float:
        """Return the goals a pageview that the leader is expected to lose against the best arm."""
        return float((self.draws.max(axis=1) - self.draws[:, self.leader]).mean())


def believe(rules: Rules, blocks: Blocks, dispersion: float, seed: int) -> Belief:
    """Return the belief about the rates now. Counts fade by the half-life and shrink by the dispersion."""
    ages = (blocks.starts_s[-1:] - blocks.starts_s) if len(blocks.starts_s) else blocks.starts_s
    fading = np.exp2(-ages / rules.half_life_s) / dispersion
    hits, misses = beta(fading @ blocks.pageviews, fading @ blocks.conversions)
    draws = np.random.default_rng(seed).beta(hits, misses, size=(DRAWS, len(hits)))
    return Belief(draws, int(np.argmax(hits / (hits + misses))))


def beta(pageviews: Floats, conversions: Floats) -> tuple[Floats, Floats]:
    """Return the two parameters of each arm's posterior.

    The prior is one goal at the rate of all arms together.
    """
    goals = np.minimum(conversions, pageviews)
    misses = pageviews - goals
    prior = (1 + misses.sum(axis=-1, keepdims=True)) / (1 + goals.sum(axis=-1, keepdims=True))
    return 1 + goals, prior + misses


def top_two(draws: Floats, floor: float) -> Floats:
    """Return the weights of top-two Thompson sampling, mixed with the floor.

    Shapes: (arms,) from (draws, arms). The first choice is the best arm of a draw. Else more draws are made until
    another arm is best.
    """
    arms = draws.shape[-1]
    wins = (draws.argmax(axis=-1)[..., None] == np.arange(arms)).sum(axis=0) + 0.5
    chance = wins / wins.sum(axis=-1, keepdims=True)
    odds = chance / (1 - chance)
    weights = chance * (LEADER + (1 - LEADER) * (odds.sum(axis=-1, keepdims=True) - odds))
    mixed: Floats = floor + (1 - arms * floor) * weights
    return mixed


def visits_needed(belief: Belief, weights: Floats, missing: Floats) -> int | None:
    """Return the pageviews until the leader is likely to be decided, or None if that is not in sight.

    `missing` is the log evidence that the leader still needs against each other arm. Each draw is a possible truth.
    The answer is the median over draws: a draw in which the leader is not the best never decides for it.
    """
    leader = belief.leader
    others = np.arange(len(weights)) != leader
    ours = (weights * belief.draws)[:, [leader]]
    theirs = (weights * belief.draws)[:, others]
    null = weights[leader] / (weights[leader] + weights[others])
    share = ours / (ours + theirs)
    gain = ours * np.log(share / null) + theirs * np.log((1 - share) / (1 - null))
    ahead = share > null
    with np.errstate(divide="ignore"):
        needed = np.where(ahead, np.maximum(missing, 0) / gain, np.inf).max(axis=1)
    middle = float(np.median(needed))
    return int(np.ceil(middle)) if middle < 1e9 else None
