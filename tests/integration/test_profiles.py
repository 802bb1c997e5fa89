"""Pages with each simulated provider: in time, with the right copy, breaker and ledger.

The short run asks every third profile, for fewer pages, and has no bound on time.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from providers import Simulated, simulated
from seaweedfs_bucket import Bucket

from infra.caps import Caps
from infra.embedded.process import Server
from infra.llm.breaker import State
from infra.llm.candidate import Candidate, Watchers
from infra.llm.endpoint import Endpoint
from infra.redis.budget import Payer
from infra.redis.line import RedisLine
from infra.redis.locks import FlightLocks
from infra.s3.objects import Objects
from processors.pages.brief import brief_of
from processors.pages.copywriting import parse
from processors.text import shown
from schemas.generation import Attempt, GenerationRequest
from schemas.sections import of_group
from streams.generation.copywriting import GRACE_S, Copywriter, Order, Written
from streams.generation.mix import Mix
from streams.generation.providers import open_routers
from streams.generation.services import WATCHERS, CopyServices
from streams.proof.provider.profiles import Profile, profile_of, profiles
from streams.proof.provider.remote import KEY_VARIABLE, USD
from streams.proof.provider.script import Script
from streams.runtime.settings import LlmProvider, Settings

FULL = os.environ.get("LPSTREAM_GUARANTEES") == "full"
ROOMY = Caps(10**12, 10**12, 10**12)
REQUEST = Mix.load().patterns()[0].request(1)
WITHIN_S = 8.0 if FULL else 6.0  # a silent provider fails after 5 s
HEALTHY_S = 8.0 if FULL else 60.0  # in the short run, other test processes share the cores
AT_ONCE = 12
EACH = 1 if FULL else 3  # the short run asks every third profile
LATE_S = 0.5 if FULL else 60.0


@dataclass
class Outcome:
    """The outcome of a profile: its pages, its breaker, its ledger and its bill."""

    name: str
    written: list[Written] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    ledger: int = 0
    billed: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def completed(self) -> bool:
        """Whether all pages have only the model's copy."""
        return all(page.status == "ok" for page in self.written)

    @property
    def calls(self) -> list[Attempt]:
        return [attempt for page in self.written for attempt in page.attempts]

    def __str__(self) -> str:
        calls = [(call.outcome, call.total_ms) for call in self.calls]
        return f"{self.name}: {[page.status for page in self.written]} {calls} {self.states} {self.wrong}"


class Bench:
    """A set of shared stores. Each test adds a copywriter with its own providers."""

    def __init__(self, stores: CopyServices) -> None:
        self.stores = stores

    @contextlib.asynccontextmanager
    async def desk(
        self, *simulators: Simulated, watchers: Watchers = WATCHERS, **changes: Any
    ) -> AsyncIterator[tuple[Copywriter, list[Candidate]]]:
        """Yield a copywriter for these simulated providers, and the state of each provider."""
        stores = self.stores
        providers = [
            LlmProvider(
                name=f"p{number}",
                base_url=f"{one.url}/v1",
                key_variable=KEY_VARIABLE,
                fast={"id": "fast-1", "options": {"temperature": 0.7}, **USD},
                high={"id": "high-1", **USD},
                **changes,
            )
            for number, one in enumerate(simulators)
        ]
        settings = stores.settings.model_copy(update={"llm_providers": providers})
        routers = open_routers(settings, stores.ledger, watchers)
        refresher = Payer("_cache", "refresh", ROOMY)
        locks = FlightLocks(stores.line)
        writer = Copywriter(routers.by_tier, stores.cache, locks, stores.results, refresher)
        try:
            yield writer, routers.by_tier["fast"]._candidates
        finally:
            await writer.settle_down()
            await routers.close()

    async def pages(self, name: str, count: int, within_s: float) -> Outcome:
        """Request pages one after another from a provider with this profile."""
        outcome = Outcome(name)
        script = Script(total_s=0.9, first_token_s=0.2, profiles={name: 1.0}, retry_after_s=1.0, tokens_a_chunk=4)
        async with (
            simulated(script) as one,
            self.desk(one, **own_settings(profile_of(name))) as (writer, [candidate]),
        ):
            payers = []
            for _ in range(count):
                order = new_order(f"tenant-{uuid4()}", within_s)
                payers.append(order.payer)
                started = time.monotonic()
                outcome.written.append(await writer.write(order))
                outcome.took_s.append(time.monotonic() - started)
                outcome.states.append(candidate.breaker.state)
                outcome.wrong += wrong_texts(order, outcome.written[-1], one)
            await asyncio.sleep(0.3)
            outcome.ledger = sum([(await self.stores.ledger.spent(payer))["lp"] for payer in payers])
            outcome.billed = one.provider.bill.sums()["micro_jpy"]
        return outcome


def own_settings(profile: Profile) -> dict[str, Any]:
    """Return the provider settings that this profile needs, such as `max_completion_tokens`."""
    changes: dict[str, Any] = {}
    if "max_tokens" in profile.refuses and "max_completion_tokens" not in profile.refuses:
        changes["limit_field"] = "max_tokens"
    if "max_completion_tokens>1900" in profile.refuses:
        changes["head_room"] = 2_000
    if "response_format:json_schema" in profile.refuses:
        changes["json_mode"] = "json_schema"
    return changes


def new_order(tenant: str, until_s: float = WITHIN_S) -> Order:
    brief = brief_of(GenerationRequest.model_validate(REQUEST | {"keywords": [str(uuid4())]}))
    step_id = uuid4()
    return Order(brief, Payer(tenant, str(step_id), ROOMY), step_id, time.monotonic() + until_s)


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def wrong_texts(order: Order, page: Written, one: Simulated) -> list[str]:
    """Return the texts of a page that come from neither the model's final answer nor built-in copy."""
    if page.status != "ok":
        copy = json.dumps(page.copy.model_dump(), ensure_ascii=False)
        return ["a draft is published"] if "下書き" in copy else []
    true: set[str] = set()
    for text in one.provider.texts:
        for group in order.brief.groups:
            if all(section.name in json.loads(text) for section in of_group(group)):
                true |= {squeezed(shown(value)) for value in texts_of(parse(order.brief.fields, group, text))}
    return [text for text in texts_of(page.copy.model_dump()) if squeezed(shown(text)) not in true]


def texts_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for each in inner for text in texts_of(each)]


@contextlib.asynccontextmanager
async def open_bench(valkey: tuple[Server, str], bucket: Bucket, folder: Path) -> AsyncIterator[Bench]:
    os.environ[KEY_VARIABLE] = "simulated"
    folder.joinpath("tenants.toml").write_text('[[tenant]]\nid = "demo"\nlp_ids = ["*"]\n', encoding="utf-8")
    settings = Settings(
        redis_url=valkey[1],
        s3_endpoint_url=bucket.url,
        s3_access_key_id=bucket.key,
        s3_secret_access_key=bucket.secret,
        tenants_file=folder / "tenants.toml",
    )
    stores = CopyServices(settings)
    stores.line._patience_s = 10.0  # the machine may be busy; other tests cover the timeout
    try:
        yield Bench(stores)
    finally:
        await stores.close()


@pytest.fixture
async def bench(
    valkey: tuple[Server, str], bucket: Bucket, line: RedisLine, objects: Objects, tmp_path: Path
) -> AsyncIterator[Bench]:
    async with open_bench(valkey, bucket, tmp_path) as opened:
        yield opened


async def outcomes(bench: Bench, names: list[str], count: int, within_s: float) -> list[Outcome]:
    """Run the profiles, AT_ONCE of them in parallel. Return their outcomes."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Outcome:
        async with slots:
            return await bench.pages(name, count, within_s)

    return await asyncio.gather(*(one(name) for name in names))


def check_books_and_time(found: list[Outcome], within_s: float) -> None:
    for one in found:
        assert one.ledger >= one.billed, f"{one.name}: ledger {one.ledger}, bill {one.billed}"
        spent = sum(call.cost_micro_jpy for call in one.calls)
        late = any(page.status != "ok" and "no time" in page.warnings[0].detail for page in one.written)
        assert one.ledger == spent or (late and one.ledger > spent), f"{one.name}: result and ledger differ"
        assert max(one.took_s) < within_s + GRACE_S + LATE_S, f"{one.name}: {one.took_s}"
        assert not one.wrong, f"{one.name}: {one.wrong}"


async def test_providers_that_answer_in_their_own_way_write_the_page(bench: Bench) -> None:
    names = list(profiles().healthy)[::EACH]
    found = await outcomes(bench, names, 3 if FULL else 1, HEALTHY_S)
    check_books_and_time(found, HEALTHY_S)
    failed = [one for one in found if not one.completed]
    sys.stdout.write(f"{len(found) - len(failed)} of {len(found)} healthy profiles completed\n")
    assert len(failed) <= 0.05 * len(found), "\n".join(map(str, failed))
    assert {one.name: one.states[-1] for one in found if one.states[-1] != "closed"} == {}


async def test_broken_providers_give_a_page_in_time(bench: Bench) -> None:
    names = list(profiles().broken)[::EACH]
    found = await outcomes(bench, names, 4 if FULL else 2, WITHIN_S)
    check_books_and_time(found, WITHIN_S)
    wrong = [one for one in found if one.states[-1] != profile_of(one.name).breaker]
    assert not wrong, "\n".join(map(str, wrong))
    assert not any(page.status == "ok" for one in found for page in one.written), "a broken answer is published"


class Diary:
    """For each provider, the attempts that count for its breaker, and the times when it opened.

    The code of a refusal alone does not say whether it counts: a 429 may be a limit of rates or an empty account.
    """

    # the outcomes that say nothing: a customer's words, and cancelled calls
    SILENT = ("refused_input", "finish_content_filter", "called_off")

    def __init__(self) -> None:
        self.counted: dict[tuple[str, str], list[str]] = {}
        self.opened: list[tuple[str, int, list[str]]] = []
        self._probed: set[tuple[str, str]] = set()
        self._changed: dict[tuple[str, str], float] = {}
        self.watchers = Watchers(attempt=self._attempt, breaker=self._breaker)

    def _attempt(self, attempt: Attempt) -> None:
        model = attempt.provider, attempt.model
        # a breaker ignores calls that began before its last change
        if time.monotonic() - attempt.total_ms / 1000 < self._changed.get(model, 0.0):
            return
        if attempt.outcome not in self.SILENT:
            self.counted.setdefault(model, []).append(attempt.outcome)

    def _breaker(self, endpoint: Endpoint, state: State) -> None:
        model = endpoint.provider, endpoint.model
        if state == "open":
            # a failed probe opens it again; calls that end together may be noted in another order
            needed, noted = (1, 1) if model in self._probed else (5, 7)
            self.opened.append((endpoint.provider, needed, self.counted.get(model, [])[-noted:]))
        (self._probed.add if state == "half_open" else self._probed.discard)(model)
        self._changed[model] = time.monotonic()


class Lag:
    """The seconds by which timers of this process were late, because the machine was busy."""

    def __init__(self) -> None:
        self.total_s = 0.0

    async def measure(self) -> None:
        while True:
            due = time.monotonic() + 0.05
            await asyncio.sleep(0.05)
            self.total_s += time.monotonic() - due


def mix_of(names: list[str]) -> Script:
    shares = dict.fromkeys(names, 1 / len(names))
    return Script(total_s=0.9, first_token_s=0.2, profiles=shares, retry_after_s=1.0, tokens_a_chunk=4)


async def test_two_providers_under_a_mix_of_all_profiles(bench: Bench) -> None:
    count, pace = (600, 1.5) if FULL else (16, 2.0)
    diary, everything = Diary(), [*profiles().healthy, *profiles().broken]
    tenant = f"tenant-{uuid4()}"
    async with (
        simulated(mix_of(everything), seed=1) as one,
        simulated(mix_of(everything), seed=2) as two,
        bench.desk(one, two, watchers=diary.watchers) as (writer, _),
    ):

        async def page(number: int) -> tuple[Written, float]:
            await asyncio.sleep(number / pace)
            started, before = time.monotonic(), lag.total_s
            written = await writer.write(new_order(tenant))
            return written, time.monotonic() - started - (lag.total_s - before)

        lag = Lag()
        measuring = asyncio.create_task(lag.measure())
        done = await asyncio.gather(*(page(number) for number in range(count)))
        await asyncio.sleep(1.0)
        measuring.cancel()
        ledger = (await bench.stores.ledger.spent(Payer(tenant, "any", ROOMY)))["month"]
        billed = sum(each.provider.bill.sums()["micro_jpy"] for each in (one, two))
    whole = sum(written.status == "ok" for written, _ in done)
    slowest = max(took for _, took in done)
    sys.stdout.write(
        f"{count} requests: {whole} completed, slowest {slowest:.1f} s without lag ({lag.total_s:.0f} s)\n"
    )
    sys.stdout.write(f"ledger {ledger:,}, bill {billed:,} micro-yen, breakers opened {len(diary.opened)} times\n")
    assert len(done) == count and ledger >= billed
    assert not any("下書き" in written.copy.model_dump_json() for written, _ in done)
    for provider, needed, last in diary.opened:
        failed = [outcome for outcome in last if outcome not in ("ok", "finish_length")]
        assert len(failed) >= needed, f"{provider} opened after {last}"
    assert slowest < WITHIN_S + GRACE_S + LATE_S


async def test_refused_words_open_no_breaker_and_are_asked_once(bench: Bench) -> None:
    about_input = [name for name in profiles().broken if name.startswith(("refused_", "content_filter"))]
    diary = Diary()
    async with simulated(mix_of(about_input)) as one, bench.desk(one, watchers=diary.watchers) as (writer, _):
        orders = [new_order(f"tenant-{uuid4()}") for _ in range(6)]
        pages = await asyncio.gather(*(writer.write(order) for order in orders))
        assert not diary.opened and not diary.counted
        assert all("refuse this input" in page.warnings[0].detail for page in pages)
        asked = len(one.provider.bill.lines)
        await asyncio.gather(*(writer.write(order) for order in orders))
        assert len(one.provider.bill.lines) == asked, "refused words are not asked again"
        one.provider.script = Script(total_s=0.3, first_token_s=0.1)
        assert (await writer.write(new_order("another"))).status == "ok", "the next customer is served at once"
