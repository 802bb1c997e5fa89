"""`lpstream erase` on real stores: all data of a page or tenant is erased, all other data stays."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from harness import full_only
from page_requests import built_in, least
from picture_files import encoded, logo
from tiering import World, clean
from typer.testing import CliRunner

from infra.embedded.stack import Stack
from infra.kafka.producer import build_producer
from infra.kafka.whole import read_whole
from infra.redis.experiments import ExperimentStore
from infra.redis.line import RedisLine
from infra.redis.requested import Asked
from infra.redis.results import ResultStore
from infra.tiers.tables import HOT_TABLES
from processors.experiments.decisions import begun
from processors.pages.brief import copy_fields
from processors.pages.cache_keys import key_of, near_names_of, pattern_of
from processors.pages.copywriting import PROMPT_VERSION
from processors.pages.page import TEMPLATE_VERSION
from schemas.experiments import EXPERIMENTS, ExperimentCommand, ExperimentState, PastWeights, result_id_of
from schemas.generation import (
    RESULTS,
    Decision,
    GenerationRequest,
    Progress,
    Result,
    StepName,
    decode_model,
    encode_model,
    lp_id_of,
    step_id_of,
)
from schemas.page_cache import CachedCopy
from schemas.plan import Source
from schemas.tiers import Step
from streams.__main__ import app
from streams.generation.services import open_cache
from streams.operate import erasure
from streams.operate.erasure import Erasing
from streams.operate.rebuild_tables import ASIDE, NewTables
from streams.pictures.cards import Cards, card_key
from streams.pictures.drawing import DrawingProcess
from streams.pictures.screenshots import shots_of
from streams.pictures.stored import UNPUBLISHED, erased_key, html_key, source_key
from streams.pictures.uploads import UploadStore, keys_of
from streams.proof.traffic import Traffic
from streams.proof.twin import COPY
from streams.runtime.stores import open_objects

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


class Customer:
    """A tenant with two pages by its prefix and one page listed in the tenants file."""

    def __init__(self, tenant_id: str, number: int) -> None:
        self.id = tenant_id
        self.requests = [UUID(int=10 * number + count) for count in range(2)]
        self.pages = [lp_id_of(tenant_id, request_id) for request_id in self.requests]
        self.own = f"own-{tenant_id}"


# Each test erases its own customer, so that all tests can share one world, which takes half a minute to set up.
PAGE, WHOLE, CUT, TOPIC, LOG, DRAWN, RIVAL = CUSTOMERS = [
    Customer(name, number)
    for number, name in enumerate(("acme", "bloom", "crest", "dune", "ember", "fjord", "rival"), 1)
]
SITE = Traffic(tuple(lp_id for one in CUSTOMERS for lp_id in (*one.pages, one.own)), visits=72)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("erase"), "tansu", print) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
    """Set up days of visits in all tiers, and two pages of each customer with their data."""
    async with World(stack, SITE, hot_days=1, warm_days=2) as made:
        for number in (-4, -3, -2, -1):
            await made.load(number)
        clean(await made.tiers(0).run(wait_s=5))
        for customer in CUSTOMERS:
            for request_id in customer.requests:
                keywords = [f"語{request_id.int}"]
                await publish(made, least(request_id=request_id, tenant_id=customer.id, keywords=keywords))
        yield made


async def upload_of(world: World, tenant_id: str) -> list[str]:
    """Store a logo of a tenant; return the keys of its uploads."""
    objects, process = open_objects(world.settings), DrawingProcess()
    await UploadStore(objects, process).add(tenant_id, encoded(logo(200, 100), "PNG"))
    process.close()
    return await keys_of_tenant(world, tenant_id)


async def keys_of_tenant(world: World, tenant_id: str) -> list[str]:
    """Return the keys of a tenant's uploads."""
    return await keys_of(open_objects(world.settings), tenant_id)


async def publish(world: World, request: GenerationRequest) -> None:
    """Store everything that generation, studio and edge keep of a page, with their own code."""
    objects, line = open_objects(world.settings), RedisLine(world.stores.redis, patience_s=10)
    lp_id, copy, html = lp_id_of(request.tenant_id, request.request_id), built_in(request), str(request.request_id)
    source = Source(request=request, copy_=copy, template="restaurant")
    for key, body in {
        f"pages/{lp_id}/index.html": html.encode(),
        source_key(lp_id): encode_model(source),
        card_key(lp_id, "og"): b"png",
        card_key(lp_id, "small"): b"png",
        f"{shots_of(html.encode())}400x800-1.png": b"png",
    }.items():
        await objects.put(key, body, "text/plain", "no-store")
    fields = copy_fields(request)
    cached = CachedCopy(
        key=key_of(fields, TEMPLATE_VERSION, PROMPT_VERSION),
        pattern=pattern_of(fields),
        fields=fields,
        copy_=copy,
        made_ms=2**41,
        model="",
    )
    cache = open_cache(world.settings, line, objects)
    await cache.put(cached, near_names_of(fields, request.tenant_id))
    await cache.store(cached)
    results = ResultStore(line)
    result = Result(request_id=request.request_id, tenant_id=request.tenant_id, status="completed", lp_id=lp_id)
    await results.begin(request.request_id, "digest", of_fields="digest")
    await results.first(result)
    progress = Progress(request_id=request.request_id, percent=100, stage="done", at_ms=1)
    await results.put_progress(request.tenant_id, progress)
    await results.finish_step(step_id_of(request.request_id, StepName.COPY), b"{}")
    await results.finish_part(step_id_of(request.request_id, StepName.COPY), "hero", b"{}")
    await results.join(lp_id, StepName.COPY, b"{}")
    await Asked(line).note(request.tenant_id, str(request.request_id), "麺屋", 1)
    await world.stores.redis.set(f"lp:heatmap:{lp_id}:abc", b"png")


async def stored_names(world: World) -> tuple[set[str], set[str]]:
    """Return all keys on S3 except the tiers', and all keys in Redis."""
    found = await open_objects(world.settings).keys("")
    names = {name.decode() for name in await world.stores.redis.keys("lp:*")}
    return {key for key in found if not key.startswith("heatmap")}, names


async def pages_in_tiers(world: World) -> set[str]:
    """Return the pages that still have rows in any tier."""
    hot = [await world.writer.rows(f"SELECT DISTINCT lp_id FROM lpstream.{table}") for table in HOT_TABLES]
    objects = [one for one in await world.stores.ledger.objects() if one.step is not Step.GONE]
    return {row["lp_id"] for rows in hot for row in rows} | {lp_id for one in objects for lp_id in one.lp_ids}


async def erase(world: World, *args: str, listed_by_rival: str = "") -> Any:
    tenants = world.stack.data / "tenants-of-erase.toml"
    rows = [f'[[tenant]]\nid = "{one.id}"\nlp_ids = ["{one.own}"]\n' for one in CUSTOMERS[:-1]]
    rows.append(f'[[tenant]]\nid = "{RIVAL.id}"\nlp_ids = ["{listed_by_rival}"]\n' if listed_by_rival else "")
    tenants.write_text("".join(rows), encoding="utf-8")
    env = {"LPSTREAM_TIER_HOT_DAYS": "1", "LPSTREAM_TIER_WARM_DAYS": "2", "LPSTREAM_TENANTS_FILE": str(tenants)}
    command = ("erase", *args, "--json")
    done = await asyncio.to_thread(CliRunner().invoke, app, command, env=world.stack.env() | env)
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def of(names: set[str], *report: object) -> set[str]:
    return {name for name in names if any(str(one) in name for one in report)}


async def test_a_page_is_erased_from_every_store(world: World) -> None:
    mine, request_id = PAGE.pages[0], PAGE.requests[0]
    before, maps = await stored_names(world), await pages_in_tiers(world)
    report = await erase(world, "--lp", mine, "--dry-run")
    assert report["would_erase"]["pages"] == [mine] and report["would_erase"]["files"] == 5
    assert report["would_erase"]["heatmap_rows"] > 0 and report["would_erase"]["heatmap_objects"] > 0
    assert await stored_names(world) == before and mine in await pages_in_tiers(world), "a dry run changes nothing"

    report = await erase(world, "--lp", mine)
    assert (report["waiting"], report["problems"]) == ([], []) and report["stays"]
    objects, names = await stored_names(world)
    step = step_id_of(request_id, StepName.COPY)
    assert not of(objects | names, mine, request_id, step)
    assert await pages_in_tiers(world) == maps - {mine}
    # S3: page, source, two cards, screenshot, cached copy; one says that the page is gone.
    # Redis: four keys of the request, two of its step, join, map, copy.
    assert len(before[0]) - len(objects) == 6 - 1 and len(before[1]) - len(names) == 9
    assert len(await world.stores.redis.lrange(f"lp:requested:{PAGE.id}", 0, -1)) == 1

    assert erased_key(mine) in objects

    again = await erase(world, "--lp", mine)
    assert again["erased"]["pages"] == [] and again["erased"]["heatmap_rows"] == 0
    assert await stored_names(world) == (objects, names)


async def test_the_variants_of_a_page_are_erased_with_it(world: World) -> None:
    mine, other = PAGE.pages
    ids = {"child": UUID(int=901), "grandchild": UUID(int=902), "stranger": UUID(int=903)}
    lps = {name: lp_id_of(PAGE.id, request_id) for name, request_id in ids.items()}
    objects = open_objects(world.settings)
    for name, parent in {"child": mine, "grandchild": lps["child"], "stranger": other}.items():
        request = least(request_id=ids[name], tenant_id=PAGE.id, variant={"of": parent, "change": "design"})
        source = Source(request=request, copy_=built_in(request), template="shop")
        await objects.put(html_key(lps[name], variant=True), name.encode(), "text/html", "no-store")
        await objects.put(source_key(lps[name], variant=True), encode_model(source), "text/plain", "no-store")
        await objects.put(erased_key(lps[name]), UNPUBLISHED, "text/plain", "no-store")
    await world.stores.redis.set(f"lp:heatmap:{lps['grandchild']}:abc", b"png")

    report = await erase(world, "--lp", mine)
    assert set(report["erased"]["pages"]) - {mine} == {lps["child"], lps["grandchild"]}
    left, names = await stored_names(world)
    assert not of(left | names, mine, lps["child"], lps["grandchild"])
    assert erased_key(mine) in left and erased_key(lps["child"]) not in left
    stranger = {html_key(lps["stranger"], variant=True), source_key(lps["stranger"], variant=True)}
    assert stranger <= left and erased_key(lps["stranger"]) in left


@full_only
async def test_a_tenant_is_erased_with_all_its_pages(world: World) -> None:
    own, rivals = await upload_of(world, WHOLE.id), await upload_of(world, RIVAL.id)
    (objects_before, names_before), maps = await stored_names(world), await pages_in_tiers(world)
    assert (await erase(world, "--lp", RIVAL.pages[0], "--dry-run"))["would_erase"]["upload_files"] == 0
    report = await erase(world, "--tenant", WHOLE.id)
    assert report["erased"]["upload_files"] == len(own) == 4 and await keys_of_tenant(world, RIVAL.id) == rivals
    assert set(report["erased"]["pages"]) == set(WHOLE.pages) and report["erased"]["requests"] == 2
    objects, names = await stored_names(world)
    assert not of(objects | names, WHOLE.id, *WHOLE.requests)
    others = {one for one in CUSTOMERS if one is not WHOLE}
    theirs = [name for one in others for name in (*one.pages, *one.requests)]
    assert of(objects, *theirs) == of(objects_before, *theirs) and of(names, *theirs) == of(names_before, *theirs)
    # an upload; two pages with four files, a screenshot and cached copy each, and a mark that each is gone
    assert len(objects_before) - len(objects) == 4 + 12 - 2
    assert await pages_in_tiers(world) == maps - {*WHOLE.pages, WHOLE.own}
    assert (await erase(world, "--tenant", WHOLE.id))["erased"]["pages"] == []


@full_only
async def test_an_interrupted_erasure_is_completed_by_the_next_run(world: World) -> None:
    """The page's HTML and its result remain. The request's id stands only in the result."""
    objects = open_objects(world.settings)
    await objects.delete([source_key(CUT.pages[0])])
    await erase(world, "--lp", CUT.pages[0])
    left, names = await stored_names(world)
    assert not of(left | names, CUT.pages[0], CUT.requests[0])


@full_only
async def test_a_card_drawn_during_an_erasure_is_not_stored(world: World) -> None:
    objects, lp_id = open_objects(world.settings), DRAWN.pages[0]
    source = await objects.get(source_key(lp_id))
    assert source is not None
    await objects.delete([card_key(lp_id, "og")])

    class Drawing:
        async def run(self, *_: object) -> bytes:
            await objects.delete([source_key(lp_id)])  # the erasure runs while the card is drawn
            return b"png"

    assert await Cards(objects, Drawing()).get(f"card-{lp_id}-og.png") is None  # type: ignore[arg-type]
    assert await objects.get(card_key(lp_id, "og")) is None
    await objects.put(source_key(lp_id), source.body, "application/json", "no-store")


@full_only
async def test_a_card_without_a_page_is_erased_with_its_tenant(world: World) -> None:
    objects, alone = open_objects(world.settings), f"{DRAWN.id}-alone"
    await objects.put(card_key(alone, "og"), b"png", "image/png", "no-store")
    await erase(world, "--tenant", DRAWN.id)
    assert not of((await stored_names(world))[0], DRAWN.id)


@pytest.mark.parametrize(
    ("args", "said"), [(("--lp", "acme-none"), "--lp acme-none"), (("--tenant", "no"), "--tenant no")]
)
async def test_unknown_ids_are_refused(world: World, args: tuple[str, ...], said: str) -> None:
    before, maps = await stored_names(world), await pages_in_tiers(world)
    for more in ((), ("--dry-run",)):
        with pytest.raises(AssertionError, match=f"{said}.*nothing was erased"):
            await erase(world, *args, *more)
    assert (await stored_names(world), await pages_in_tiers(world)) == (before, maps)


async def test_a_tenant_is_not_erased_if_another_uses_its_prefix(world: World) -> None:
    before, maps, foreign = await stored_names(world), await pages_in_tiers(world), f"{LOG.id}-of-rival"
    with pytest.raises(AssertionError, match=f"--tenant {LOG.id}: {foreign} has its prefix.*nothing was erased"):
        await erase(world, "--tenant", LOG.id, listed_by_rival=foreign)
    assert (await stored_names(world), await pages_in_tiers(world)) == (before, maps)


@full_only
async def test_the_result_on_the_topic_gets_a_tombstone(world: World) -> None:
    await erase(world, "--lp", TOPIC.pages[0])
    async with AIOKafkaConsumer(bootstrap_servers=world.settings.kafka_bootstrap_servers) as consumer:
        places = [TopicPartition(RESULTS, one) for one in consumer.partitions_for_topic(RESULTS) or range(12)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        read = await consumer.getmany(timeout_ms=3_000)
        keys = {record.key for records in read.values() for record in records if not record.value}
    assert str(TOPIC.requests[0]).encode() in keys


async def newest(world: World, topic: str) -> dict[str, bytes]:
    """Return the newest record of each key of a topic, without empty records."""
    found: dict[str, bytes] = {}
    async with read_whole(
        world.settings.kafka_bootstrap_servers, topic, lambda one: found.update({one.key.decode(): one.value or b""})
    ):
        return {key: value for key, value in found.items() if value}


async def append(world: World, topic: str, records: dict[str, bytes]) -> None:
    producer = build_producer(world.settings.kafka_bootstrap_servers, world.settings.broker)
    await producer.start()
    for key, value in records.items():
        await producer.send_and_wait(topic, value, key=key.encode())
    await producer.stop()


def experiment(lp_id: str, number: int) -> dict[str, bytes]:
    """Return the records of an experiment: its order, its state with that number, and its weights."""
    values = {"tenant_id": "dune", "lp_id": lp_id, "arms": [lp_id, "dune-other"], "requested_ms": 1}
    order = ExperimentCommand.model_validate({**values, "command": "start", "experiment_id": UUID(int=5)})
    state = begun(order, None, epoch=1, now_ms=1, settle_s=0).model_copy(update={"number": number})
    past = PastWeights(experiment_id=order.experiment_id, lp_id=lp_id, points=[(1, [0.5, 0.5])])
    return {one.key.decode(): encode_model(one) for one in (order, state, past)}


async def test_experiments_are_erased_also_while_the_optimizer_writes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = TOPIC.pages[1], RIVAL.pages[1]
    store = ExperimentStore(RedisLine(world.stores.redis, patience_s=10))
    for lp_id in (mine, other):
        await append(world, EXPERIMENTS, experiment(lp_id, 0))
        for id_ in (UUID(int=4), UUID(int=5)):  # the first experiment was replaced by the second
            decision = Decision(experiment_id=id_, winner=lp_id, reason="", decided_ms=1)
            key = result_id_of(id_, lp_id)
            result = Result(request_id=key, tenant_id="dune", status="completed", lp_id=lp_id, experiment=decision)
            await append(world, RESULTS, {str(key): encode_model(result)})
    before, states, bury = await newest(world, RESULTS), experiment(mine, 1), Erasing._experiments
    late = [states[mine]]

    async def beside_the_optimizer(erasing: Erasing, lp_ids: set[str]) -> None:
        await bury(erasing, lp_ids)
        if late:  # the optimizer was just committing this state
            await append(world, EXPERIMENTS, {mine: late[0]})
            await ExperimentStore(erasing._line).put([decode_model(ExperimentState, late.pop())])

    monkeypatch.setattr(Erasing, "_experiments", beside_the_optimizer)
    monkeypatch.setattr(erasure, "COMMIT_S", 0.1)
    report = await erase(world, "--lp", mine)
    assert (report["erased"]["experiments"], report["waiting"]) == (1, [])
    assert set(await newest(world, EXPERIMENTS)) == set(experiment(other, 0))
    assert await store.get(mine) is None
    results = {str(result_id_of(UUID(int=number), mine)) for number in (4, 5)}
    assert before.keys() - (await newest(world, RESULTS)).keys() == results


@full_only
async def test_a_rebuild_leaves_out_erased_pages(world: World) -> None:
    await erase(world, "--lp", LOG.pages[0])
    maps = await pages_in_tiers(world)
    tables = NewTables(world.writer)
    await tables.create()
    for table in HOT_TABLES:  # the rows as in the log
        await world.writer.command(f"INSERT INTO lpstream.{ASIDE}{table} SELECT * FROM {COPY}.{table}")
    await tables.erase()
    for table in HOT_TABLES:  # a page with few visits is not in every table
        copied = {row["lp_id"] for row in await world.writer.rows(f"SELECT DISTINCT lp_id FROM {COPY}.{table}")}
        rows = await world.writer.rows(f"SELECT DISTINCT lp_id FROM lpstream.{ASIDE}{table}")
        assert {row["lp_id"] for row in rows} == copied & maps and LOG.pages[0] in copied
    await tables.finish()
