"""`lpstream erase` on real stores: all that is kept of a page or a tenant goes, all of others stays."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from requests_for_pages import built_in, least
from tiering import World, clean
from typer.testing import CliRunner

from infra.asked import Asked
from infra.embedded.stack import Stack
from infra.redis import RedisLine
from infra.results import ResultStore
from infra.tiers.tables import HOT_TABLES
from processors.copywriting import PROMPT_VERSION, copy_fields
from processors.page import TEMPLATE_VERSION
from processors.page_cache import key_of, near_names_of, pattern_of
from schemas.generation import (
    RESULTS,
    GenerationRequest,
    Progress,
    Result,
    StepName,
    encode_model,
    lp_id_of,
    step_id_of,
)
from schemas.page_cache import CachedCopy
from schemas.tiers import Step
from streams.__main__ import app
from streams.cards import Source, card_key, source_key
from streams.clients import open_cache, open_objects
from streams.proof.traffic import Traffic
from streams.proof.twin import COPY
from streams.rebuild_tables import ASIDE, NewTables
from streams.shots import shots_of

pytestmark = pytest.mark.stack
IDS = [UUID(int=number) for number in range(1, 4)]
MINE, MINE_TOO, THEIRS = lp_id_of("acme", IDS[0]), lp_id_of("acme", IDS[1]), lp_id_of("rival", IDS[2])
SITE = Traffic((MINE, MINE_TOO, "own-site", THEIRS), visits=24)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("erase"), "tansu", print) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="function")
async def world(stack: Stack) -> AsyncIterator[World]:
    """Four days of visits, one hot, two warm, one cold, and three pages with all that belongs to them."""
    made = World(stack, SITE, hot_days=1, warm_days=2)
    await made.open()
    await made.stores.redis.flushall()
    for number in (-4, -3, -2, -1):
        await made.load(number)
    clean(await made.tiers(0).run(wait_s=5))
    for request_id, tenant in zip(IDS, ("acme", "acme", "rival"), strict=True):
        await publish(made, least(request_id=request_id, tenant_id=tenant, keywords=[f"語{request_id.int}"]))
    yield made
    await made.close()


async def publish(world: World, request: GenerationRequest) -> None:
    """What generation, the studio and the edge keep of a page, put there by their own code."""
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
    await results.begin(request.request_id, "digest")
    await results.first(result)
    progress = Progress(request_id=request.request_id, percent=100, stage="done", at_ms=1)
    await results.put_progress(request.tenant_id, progress)
    await results.finish_step(step_id_of(request.request_id, StepName.COPY), b"{}")
    await results.finish_part(step_id_of(request.request_id, StepName.COPY), "hero", b"{}")
    await results.join(lp_id, StepName.COPY, b"{}")
    await Asked(line).note(request.tenant_id, str(request.request_id), "麺屋", 1)
    await world.stores.redis.set(f"lp:heatmap:{lp_id}:abc", b"png")


async def kept(world: World) -> tuple[set[str], set[str]]:
    """Names of everything on S3 but the tiers, and in Redis."""
    found = await open_objects(world.settings).keys("")
    names = {name.decode() for name in await world.stores.redis.keys("lp:*")}
    return {key for key in found if not key.startswith("heatmap")}, names


async def counted(world: World) -> set[str]:
    """Pages that any tier still has rows of."""
    hot = [await world.writer.rows(f"SELECT DISTINCT lp_id FROM lpstream.{table}") for table in HOT_TABLES]
    objects = [one for one in await world.stores.ledger.objects() if one.step is not Step.GONE]
    return {row["lp_id"] for rows in hot for row in rows} | {lp_id for one in objects for lp_id in one.lp_ids}


async def erase(world: World, *args: str) -> Any:
    tenants = world.stack.data / "tenants-of-erase.toml"
    tenants.write_text('[[tenant]]\nid = "acme"\nlp_ids = ["own-site"]\n', encoding="utf-8")
    env = {"LPSTREAM_TIER_HOT_DAYS": "1", "LPSTREAM_TIER_WARM_DAYS": "2", "LPSTREAM_TENANTS_FILE": str(tenants)}
    command = ("erase", *args, "--json")
    done = await asyncio.to_thread(CliRunner().invoke, app, command, env=world.stack.env() | env)
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def of(names: set[str], *told: object) -> set[str]:
    return {name for name in names if any(str(one) in name for one in told)}


async def test_a_page_goes_from_every_store_and_others_stay(world: World) -> None:
    before = await kept(world)
    told = await erase(world, "--lp", MINE, "--dry-run")
    assert told["would_erase"]["pages"] == [MINE] and told["would_erase"]["files"] == 5
    assert told["would_erase"]["heatmap_rows"] > 0 and told["would_erase"]["heatmap_objects"] > 0
    assert await kept(world) == before and MINE in await counted(world), "a dry run changes nothing"

    told = await erase(world, "--lp", MINE)
    assert (told["waiting"], told["problems"]) == ([], []) and told["stays"]
    objects, names = await kept(world)
    step = step_id_of(IDS[0], StepName.COPY)
    assert not of(objects | names, MINE, IDS[0], step)
    assert await counted(world) == {MINE_TOO, "own-site", THEIRS}
    # a page, its source, two cards, a screenshot, cached copy; three of the request, two of its step, join, map, copy
    assert len(before[0]) - len(objects) == 6 and len(before[1]) - len(names) == 8
    assert len(await world.stores.redis.lrange("lp:requested:acme", 0, -1)) == 1

    again = await erase(world, "--lp", MINE)
    assert again["erased"]["pages"] == [] and again["erased"]["heatmap_rows"] == 0
    assert await kept(world) == (objects, names)


async def test_a_tenant_goes_with_all_its_pages_and_no_other(world: World) -> None:
    objects_before, names_before = await kept(world)
    told = await erase(world, "--tenant", "acme")
    assert set(told["erased"]["pages"]) == {MINE, MINE_TOO} and told["erased"]["requests"] == 2
    objects, names = await kept(world)
    assert not of(objects | names, "acme", *IDS[:2])
    assert of(objects, THEIRS, "shots/", "copy/") == of(objects, "") and len(of(objects, THEIRS)) == 4
    assert {name for name in names_before if str(IDS[2]) in name or THEIRS in name} <= names
    assert await counted(world) == {THEIRS} and len(objects) < len(objects_before)
    assert (await erase(world, "--tenant", "acme"))["erased"]["pages"] == []


async def test_a_run_that_was_cut_off_is_made_whole_by_the_next(world: World) -> None:
    """All but the page's last file and its result went; nothing but the result names the request now."""
    objects = open_objects(world.settings)
    await objects.delete([source_key(MINE)])
    await erase(world, "--lp", MINE)
    left, names = await kept(world)
    assert not of(left | names, MINE, IDS[0])


@pytest.mark.parametrize(
    ("args", "said"), [(("--lp", "acme-none"), "--lp acme-none"), (("--tenant", "no"), "--tenant no")]
)
async def test_unknown_ids_are_refused(world: World, args: tuple[str, ...], said: str) -> None:
    before = await kept(world)
    for more in ((), ("--dry-run",)):
        with pytest.raises(AssertionError, match=f"{said}.*nothing was erased"):
            await erase(world, *args, *more)
    assert await kept(world) == before and MINE in await counted(world)


async def test_the_result_on_the_topic_is_superseded_by_nothing(world: World) -> None:
    await erase(world, "--lp", MINE)
    consumer = AIOKafkaConsumer(bootstrap_servers=world.settings.kafka_bootstrap_servers)
    await consumer.start()
    try:
        places = [TopicPartition(RESULTS, one) for one in consumer.partitions_for_topic(RESULTS) or range(12)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        read = await consumer.getmany(timeout_ms=3_000)
        keys = {record.key for records in read.values() for record in records if not record.value}
    finally:
        await consumer.stop()
    assert str(IDS[0]).encode() in keys


async def test_a_rebuild_leaves_out_what_was_erased(world: World) -> None:
    await erase(world, "--lp", MINE)
    tables = NewTables(world.writer)
    await tables.create()
    for table in HOT_TABLES:  # as the log has them
        await world.writer.command(f"INSERT INTO lpstream.{ASIDE}{table} SELECT * FROM {COPY}.{table}")
    await tables.erase()
    for table in HOT_TABLES:
        rows = await world.writer.rows(f"SELECT DISTINCT lp_id FROM lpstream.{ASIDE}{table}")
        assert {row["lp_id"] for row in rows} == {MINE_TOO, "own-site", THEIRS}
    await tables.finish()
