"""The promise of experiments under bursts, drifting rates, late beacons and rows added up later."""

import os
from dataclasses import replace

import numpy as np
import pytest
from experiment_worlds import Experiments, World, burst, drifting

from processors.experiments.learning import Rules

BANDIT = Rules("bandit")
# rates that jump within a burst: weights that moved by luck meet another rate
JUMP = burst(400, 30, [0.01, 0.01, 0.12])
WORLDS = [JUMP, replace(JUMP, returning=0.4, lifts=(1.0, 1.0, 1.0))]
if os.environ.get("LPSTREAM_GUARANTEES") == "full":
    WORLDS += [drifting(seed) for seed in range(8)]


@pytest.mark.parametrize("world", WORLDS)
def test_equal_arms_rarely_have_a_winner_at_any_look(world: World) -> None:
    ends = Experiments(world, 40, 1, BANDIT).run()
    assert (ends.winner >= 0).sum() <= 2
    assert not ends.stopped.any()


def test_rows_that_lie_across_changes_of_weights_would_break_the_promise() -> None:
    ends = Experiments(JUMP, 20, 1, BANDIT, merge="hours").run()
    assert (ends.winner >= 0).sum() + ends.stopped.sum() > 4


@pytest.mark.parametrize("returning", [0.0, 0.4])
def test_a_burst_is_no_mismatch_a_day_later(returning: float) -> None:
    unequal = replace(burst(1_000, 5, [0.04]), lifts=(1.0, 1.0, 1.75), returning=returning)
    assert not Experiments(unequal, 40, 1, BANDIT).run().stopped.any()


def test_a_real_difference_is_found_as_soon_as_by_minutes_alone() -> None:
    better = replace(burst(500, 40, [0.02, 0.04]), lifts=(1.0, 1.5))
    ours, minutes = (Experiments(better, 20, 1, BANDIT, merge=merge).run() for merge in ("weights", "nothing"))
    for ends in (ours, minutes):
        assert (ends.winner == 1).sum() >= 16 and not (ends.winner == 0).any()
    assert np.median(ours.at[ours.winner == 1]) <= 1.05 * np.median(minutes.at[minutes.winner == 1])
