"""Reasons to stop early: the traffic is not split as planned, or visitors of an arm struggle."""

from math import log

import numpy as np

from processors.experiments import betting
from processors.experiments.blocks import Blocks
from processors.experiments.shapes import Evidence, Floats, Ints

MISMATCH_ALPHA = 0.001  # the chance that a sound experiment is stopped for a mismatch, over all looks
HARM_ALPHA = 0.01  # the same for the guards together
HOUR_S = 3_600
MARGIN = 1.25  # this many times the earlier page's dead clicks, rage clicks or shallow pageviews before a guard counts


def mismatch(blocks: Blocks, returning: float) -> str | None:
    """Return why the arms' shares of pageviews contradict the weights that were in force, or None."""
    views, total = blocks.pageviews, blocks.pageviews.sum(axis=1, keepdims=True)
    hits, share = np.hstack([views, total - views]), np.hstack([blocks.high, 1 - blocks.low])
    products = betting.log_products(hits, total, share)
    evidence = betting.log_evidence(products, _visits_together(returning))
    if not _refuted(evidence, MISMATCH_ALPHA):
        return None
    arm = int(evidence.argmax()) % views.shape[1]
    low, high = (float((bound[:, arm] * total[:, 0]).sum() / total.sum()) for bound in (blocks.low, blocks.high))
    planned = f"{low:.1%}" if high - low < 0.0005 else f"{low:.1%} to {high:.1%}"
    return (
        f"arm {arm} got {views[:, arm].sum() / total.sum():.1%} of the pageviews, its weights explain {planned}: "
        "pages or visits of an arm are lost or counted twice, so no rate can be trusted"
    )


def harm(evidence: Evidence, blocks: Blocks, returning: float, before: int = 0) -> str | None:
    """Return which new arm makes visitors struggle much more than the page before it does, or None.

    `before` is the arm that visitors saw before the experiment: the page itself or an earlier winner.
    """
    arms = [arm for arm in range(blocks.pageviews.shape[1]) if arm not in (0, before)]
    if not arms:
        return None
    clicks = {
        "dead clicks": (
            blocks.dead_clicks,
            _clicks_together(evidence.dead_clicks, evidence.dead_squares, blocks, blocks.dead_clicks),
        ),
        "rage clicks": (
            blocks.rage_clicks,
            _clicks_together(evidence.rage_clicks, evidence.rage_squares, blocks, blocks.rage_clicks),
        ),
    }
    if blocks.shallow is not None:
        clicks["pageviews that end above half of the page without a goal"] = (
            blocks.shallow,
            _visits_together(returning),
        )
    columns = [before, *arms]
    views = blocks.pageviews[:, columns]
    worse = np.array([_worse(counts[:, columns], views, together) for counts, together in clicks.values()])
    if not _refuted(worse.ravel(), HARM_ALPHA):
        return None
    kind, arm = np.unravel_index(worse.argmax(), worse.shape)
    than = "the control" if before == 0 else "the earlier winner"
    return f"arm {arms[arm]} has many more {list(clicks)[kind]} a pageview than {than}: look at its page first"


def _visits_together(returning: float) -> float:
    """Return the dispersion of counts of pageviews, of which a part is by returning visitors.

    Visits a visitor are geometric, and a visitor brings all of them to one arm.
    """
    return (1 + returning) / (1 - returning)


def _clicks_together(clicks: Ints, squares: Ints | None, blocks: Blocks, summed: Ints) -> float:
    """Return by which factor clicks vary more than independent ones.

    One visitor clicks many times. The factor is the mean number of clicks in the minute and arm of a click, or the
    dispersion over hours if that is more. `squares` are those of each minute, because a row may be an hour.
    """
    squares = clicks**2 if squares is None else squares
    in_a_minute = int(squares[: blocks.rows].sum()) / max(1, int(clicks[: blocks.rows].sum()))
    return max(in_a_minute, betting.dispersion(*blocks.by_time(HOUR_S, summed, blocks.pageviews)))


def _worse(counts: Ints, pageviews: Ints, together: float) -> Floats:
    """Return the log evidence that the rate of each later arm is above MARGIN times the first arm's."""
    theirs = MARGIN * pageviews[:, 1:]
    share = theirs / np.maximum(theirs + pageviews[:, :1], 1)
    both = (pageviews[:, 1:] > 0) & (pageviews[:, :1] > 0)
    products = betting.log_products(counts[:, 1:] * both, (counts[:, 1:] + counts[:, :1]) * both, share)
    return betting.log_evidence(products, together)


def _refuted(evidence: Floats, alpha: float) -> bool:
    """Return whether the mean of e-values, given as logs, reaches 1 / alpha."""
    most = float(evidence.max())
    return most + log(float(np.exp(evidence - most).mean())) >= -log(alpha)
