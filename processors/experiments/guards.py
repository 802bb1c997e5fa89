"""Reasons to stop an experiment early: the traffic is not split as planned, or visitors of an arm struggle."""

from math import log

import numpy as np

from processors.experiments import betting
from processors.experiments.blocks import Blocks
from processors.experiments.shapes import Floats, Ints

MISMATCH_ALPHA = 0.001  # the chance that a sound experiment is stopped for a mismatch, over all looks
HARM_ALPHA = 0.01  # the same for the guards together
MARGIN = 1.25  # an arm may have so many times the control's dead clicks a pageview before the guard counts
LEAST_BLOCKS = 10  # the guards' dispersion is estimated from blocks, so they wait for some


def mismatch(blocks: Blocks, returning: float) -> str | None:
    """Return why the arms' shares of pageviews contradict the weights that were in force, or None.

    A visitor who comes back brings all pageviews to one arm. If a part `returning` of pageviews is like that, visits a
    visitor are geometric and the counts vary (1 + returning) / (1 - returning) times as much as independent ones.
    """
    views, total = blocks.pageviews, blocks.pageviews.sum(axis=1, keepdims=True)
    hits, share = np.hstack([views, total - views]), np.hstack([blocks.high, 1 - blocks.low])
    products = betting.log_products(hits, total, share)
    evidence = betting.log_evidence(products, (1 + returning) / (1 - returning))
    if not _refuted(evidence, MISMATCH_ALPHA):
        return None
    arm = int(evidence.argmax()) % views.shape[1]
    low, high = (float((bound[:, arm] * total[:, 0]).sum() / total.sum()) for bound in (blocks.low, blocks.high))
    planned = f"{low:.1%}" if high - low < 0.0005 else f"{low:.1%} to {high:.1%}"
    return (
        f"arm {arm} got {views[:, arm].sum() / total.sum():.1%} of the pageviews, its weights explain {planned}: "
        "pages or visits of an arm are lost or counted twice, so no rate can be trusted"
    )


def harm(blocks: Blocks) -> str | None:
    """Return which arm makes visitors struggle much more than the control does, or None."""
    if len(blocks.pageviews) < LEAST_BLOCKS:
        return None
    kinds = {"dead clicks": blocks.dead_clicks, "rage clicks": blocks.rage_clicks}
    if blocks.shallow is not None:
        kinds["pageviews that end before half of the page"] = blocks.shallow
    evidence = np.array([_worse(counts, blocks.pageviews) for counts in kinds.values()])
    if not _refuted(evidence.ravel(), HARM_ALPHA):
        return None
    kind, arm = np.unravel_index(evidence.argmax(), evidence.shape)
    return f"arm {arm + 1} has many more {list(kinds)[kind]} a pageview than the control: look at its page first"


def _worse(counts: Ints, pageviews: Ints) -> Floats:
    """Return the log evidence, for each arm but the control, that its rate is above MARGIN times the control's."""
    theirs = MARGIN * pageviews[:, 1:]
    share = theirs / np.maximum(theirs + pageviews[:, :1], 1)
    both = (pageviews[:, 1:] > 0) & (pageviews[:, :1] > 0)
    products = betting.log_products(counts[:, 1:] * both, (counts[:, 1:] + counts[:, :1]) * both, share)
    return betting.log_evidence(products, betting.dispersion(counts, pageviews, prior=0.0))


def _refuted(evidence: Floats, alpha: float) -> bool:
    """Return whether the mean of e-values, given as logs, reaches 1 / alpha."""
    most = float(evidence.max())
    return most + log(float(np.exp(evidence - most).mean())) >= -log(alpha)
