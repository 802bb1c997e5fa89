"""Pages with cached copy are answered in time while S3 is slow or away."""

import asyncio
import time
from typing import Any

import pytest
from page_requests import full
from patience import SLACK_S
from test_variant_flow import OF, Worker, asked, with_parent

from infra.redis.page_cache import Found
from processors.pages.brief import brief_of
from processors.pages.copywriting import assemble
from schemas.errors import Retryable
from schemas.generation import Result
from schemas.page_cache import CachedCopy
from schemas.plan import Brief
from streams.generation import deadline, steps

DEADLINE_S = 10.0


async def page(worker: Worker, age_s: float = 0.0) -> Result:
    return await worker.run(asked("order"), age_s=age_s)


def pictures_of(worker: Worker) -> set[str]:
    return {key for key in worker.stores.objects if key.startswith("assets/")}


def slow(worker: Worker, monkeypatch: pytest.MonkeyPatch, takes_s: float) -> None:
    put = worker.stores.put

    async def later(key: Any, *rest: Any) -> None:
        await asyncio.sleep(takes_s)
        await put(key, *rest)

    monkeypatch.setattr(worker.stores, "put", later)


async def test_a_late_page_has_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    punctual, late = await with_parent(), await with_parent()
    await page(punctual)
    slow(late, monkeypatch, 0.01)
    assert (await page(late, age_s=60)).status == "completed"
    assert pictures_of(late) == pictures_of(punctual) != set()


async def test_pictures_are_stored_when_a_store_that_was_away_takes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "AGAIN_S", 0.01)
    worker, until = await with_parent(), time.monotonic() + 2.5
    put = worker.stores.put

    async def away(key: Any, *rest: Any) -> None:
        if time.monotonic() < until:
            raise Retryable("S3: away")
        await put(key, *rest)

    monkeypatch.setattr(worker.stores, "put", away)
    assert (await page(worker)).status == "completed" and pictures_of(worker)


async def test_a_page_whose_pictures_are_not_stored_in_time_has_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await with_parent()
    put = worker.stores.put

    async def hang_pictures(key: Any, *rest: Any) -> None:
        await asyncio.sleep(3 * SLACK_S if str(key).startswith("assets/") else 0)
        await put(key, *rest)

    assert (await page(worker)).warnings == []
    worker.stores.answers.clear()
    worker.stores.objects = {key: body for key, body in worker.stores.objects.items() if not key.startswith("assets/")}
    worker.put_before.clear()
    monkeypatch.setattr(worker.stores, "put", hang_pictures)
    result = await page(worker, age_s=DEADLINE_S - 3)
    assert result.status == "completed" and [one.code for one in result.warnings] == ["pictures_not_stored"]


async def test_a_store_that_hangs_delays_no_answer_behind_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LEAST_S", 0.1)
    worker = await with_parent()
    slow(worker, monkeypatch, 3 * SLACK_S)
    started = time.monotonic()
    result = await page(worker, age_s=DEADLINE_S - 2)
    assert result.status == "failed" and result.error is not None and result.error.code == "page_store"
    assert time.monotonic() - started < SLACK_S


def failing(worker: Worker, monkeypatch: pytest.MonkeyPatch, name: str, stores: bool = False) -> None:
    """Let S3 fail for objects of this name; with `stores`, it stores them before it fails."""
    put = worker.stores.put

    async def fail(key: Any, *rest: Any) -> None:
        failed = name in str(key)
        if stores or not failed:
            await put(key, *rest)
        if failed:
            raise Retryable("S3: 503 SlowDown")

    monkeypatch.setattr(worker.stores, "put", fail)


@pytest.mark.parametrize(
    ("name", "variant"), [("source.json", False), ("index.html", False), ("gone/", True), ("index.html", True)]
)
@pytest.mark.parametrize("stores", [False, True])
async def test_a_failed_request_leaves_no_page(
    name: str, variant: bool, stores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, request = await with_parent(), asked("order") if variant else full()
    monkeypatch.setattr(deadline, "LEAST_S", 0.1)
    before = set(worker.stores.objects)
    failing(worker, monkeypatch, name, stores=stores)
    result = await worker.run(request, age_s=DEADLINE_S - 0.6)
    assert result.status == "failed" and result.lp_id is None
    left = {key for key in set(worker.stores.objects) - before if not key.startswith(("assets/", "gone/"))}
    assert left == set(), "neither visitors nor the list of pages find one"


async def test_the_source_of_a_page_is_stored_before_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, order = await with_parent(), list[str]()
    put = worker.stores.put

    async def note(key: Any, *rest: Any) -> None:
        await put(key, *rest)
        order.append(str(key).rpartition("/")[2])

    monkeypatch.setattr(worker.stores, "put", note)
    assert (await page(worker)).status == "completed"
    assert [name for name in order if name in ("index.html", "source.json")] == ["source.json", "index.html"]
    assert order.index("index.html") > next(at for at, name in enumerate(order) if len(name) == 64), "the mark is first"


@pytest.mark.parametrize("redis", ["has the page's result", "is away"])
async def test_a_second_delivery_that_fails_removes_no_published_page(
    redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, request = await with_parent(), full()
    assert (await worker.run(request, age_s=DEADLINE_S - 0.6)).lp_id is not None
    objects, stored = dict(worker.stores.objects), dict(worker.stores.answers)

    async def away(*_: Any) -> Any:
        raise Retryable("Redis: away")

    async def first(result: Any) -> bytes:
        return stored[result.request_id]

    monkeypatch.setattr(worker.stores, "answers", {})  # the second delivery looked before the first had ended
    monkeypatch.setattr(worker.stores, "first", away if redis == "is away" else first)
    monkeypatch.setattr(deadline, "LEAST_S", 0.1)
    failing(worker, monkeypatch, "source.json")
    await worker.run(request, age_s=DEADLINE_S - 0.6)
    assert worker.stores.objects == objects


async def test_a_parent_that_hangs_delays_no_answer_behind_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LEAST_S", 0.1)
    worker = await with_parent()
    get = worker.stores.get

    async def hang(key: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(key, str) and OF in key:
            await asyncio.sleep(3 * SLACK_S)
        return await get(key, *rest, **more)

    monkeypatch.setattr(worker.stores, "get", hang)
    started = time.monotonic()
    result = await page(worker, age_s=DEADLINE_S - 2)
    assert result.status == "failed" and time.monotonic() - started < SLACK_S


async def test_a_late_page_on_a_slow_store_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await with_parent()
    slow(worker, monkeypatch, 0.3)
    for age_s in (DEADLINE_S - 0.6, DEADLINE_S + 1):
        assert (await page(worker, age_s)).status == "completed"
        worker.stores.answers.clear()


async def test_a_result_without_a_page_says_which_layer_had_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, request = Worker(), full()
    brief = brief_of(request)
    cached = CachedCopy(
        key="0" * 64, pattern="0" * 16, fields=brief.fields, copy_=assemble(brief, {}), made_ms=0, model="m"
    )

    async def lookup(_: Brief) -> Found:
        return Found(cached, "l2", stale=False)

    monkeypatch.setattr(worker.copywriter, "lookup", lookup)
    monkeypatch.setattr(deadline, "LEAST_S", 0.1)
    slow(worker, monkeypatch, 3 * SLACK_S)
    result = await worker.run(request, age_s=DEADLINE_S - 0.7)
    assert (result.status, result.cache, result.timings_ms.copy_) == ("failed", "l2", None)


@pytest.mark.parametrize(
    ("age_s", "kept"),
    [(0, True), (5, True), (86_400, True), (-3, False), (-3_000, False), (8 * 86_400, False), (None, False)],
)
def test_a_deadline_begins_at_a_time_that_the_log_can_have(age_s: float | None, kept: bool) -> None:
    before, now_s = deadline.now_ms(), time.time()
    began = deadline.asked_ms(None if age_s is None else now_s - age_s)
    assert began == int((now_s - (age_s or 0)) * 1000) if kept else before <= began <= deadline.now_ms()
    assert deadline.asked_ms(-0.001) >= before, "a record without a time"


async def test_a_request_from_the_future_waits_no_longer_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LEAST_S", 0.1)
    worker, started = await with_parent(), time.time()
    result = await page(worker, age_s=-3_000)
    assert result.status == "completed" and 0 <= (result.timings_ms.total or 0) <= (time.time() - started) * 1000 + 1
