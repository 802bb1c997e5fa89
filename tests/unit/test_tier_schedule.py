"""The heatmap worker's tier schedule: it runs for months, so its checks must not leak clients."""

import asyncio
import gc

import pytest
from new_objects import only_new_objects
from patience import PATIENCE_S

from streams.runtime import metrics
from streams.runtime.settings import load_settings
from streams.tiers import schedule
from streams.tiers.schedule import TierSchedule

LOOKS = 5


def failed_looks() -> float:
    return metrics.TIER_RUNS.labels("failed")._value.get()  # type: ignore[no-any-return]


async def test_checks_leave_no_clients_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "FIRST_AFTER_S", 0.0)
    monkeypatch.setattr(schedule, "POLL_S", 0.01)
    nowhere = "127.0.0.1:1"
    settings = load_settings(
        clickhouse_url=f"http://{nowhere}", redis_url=f"redis://{nowhere}", s3_endpoint_url=f"http://{nowhere}",
        s3_access_key_id="key", s3_secret_access_key="secret", tier_interval_s=0,
    )  # fmt: skip
    with only_new_objects():
        before = failed_looks()
        gc.disable()  # the worker's garbage collector also runs rarely
        try:
            service = TierSchedule(settings)
            await service.start()
            async with asyncio.timeout(PATIENCE_S):
                while failed_looks() < before + LOOKS:
                    await asyncio.sleep(0.01)
            kinds = [f"{type(one).__module__}.{type(one).__name__}" for one in gc.get_objects()]
            await service.stop()
        finally:
            gc.enable()
    assert kinds.count("botocore.client.S3") == 1
