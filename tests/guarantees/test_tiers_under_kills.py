"""`tier` killed at random points.

Readers always get every row once, and a later run finishes the work.
"""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from harness import full_only, scaled
from tiering import LP_IDS, World, clean, killed

from infra.embedded.stack import Stack
from schemas.tiers import WARM_STEPS
from streams.proof.traffic import Traffic

pytestmark = pytest.mark.stack
SITE = Traffic(LP_IDS, visits=100)
HOT, WARM = 1, 2
CALLS = 15, 50, 150  # store calls; a run that moves one day and cools another makes about 150


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a separate stack; its broker only has to report an empty log."""
    with Stack(tmp_path_factory.mktemp("tiers"), "tansu", print) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="function")
async def world(stack: Stack) -> AsyncIterator[World]:
    async with World(stack, SITE, hot_days=HOT, warm_days=WARM) as opened:
        yield opened


@full_only
async def test_kills_of_a_run_cause_no_loss_or_duplicates(world: World) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    rng, hit = random.Random(seed), Counter[str]()
    print(f"seed {seed}")
    days, kills_a_day = int(scaled(4, 10)), int(scaled(1, 8))
    for number in range(3):
        await world.load(number)
    for today in range(3, days + 1):
        for _ in range(kills_a_day):
            # Often an early call, so that the rest of a day's work is interrupted too.
            call = rng.randint(1, rng.choice(CALLS))
            _, last = await killed(world, today, call, rng.uniform(0, 0.03))
            hit[last or "ended before"] += 1
            # Compare at once: ClickHouse may still run queries of the killed process.
            await world.assert_same(max(0, today - WARM), today)
            await world.forget_lease()
            if not last:
                break
        await world.run(today)
        await world.assert_same(max(0, today - WARM), today)
        await world.load(today)
    await world.run(days + 1)
    clean(await world.tiers(days + 1).restore(world.day(0), world.day(days - 1), 3))
    await world.assert_same(0, days + 1)
    print(f"SIGKILLs by the last call: {dict(hit)}")
    assert hit.total() - hit["ended before"] >= scaled(1, 20)
    warm = {one.name for one in await world.stores.ledger.objects() if one.step in WARM_STEPS}
    assert await world.stores.warm.names() == warm
