"""Variants over HTTP: who sees them, and which requests for them are refused. Stores in memory."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import pytest
from edge_listeners import RIVAL, TOKEN, RunningEdge, running_edge
from page_requests import HOSTILE, full
from variant_pages import source_of

from infra.s3.objects import Objects, StoredObject
from schemas.experiments import ExperimentState
from schemas.generation import VariantRequest, decode_model, encode_model
from streams.edge.site.sitemap import Sitemaps
from streams.pictures.stored import UNPUBLISHED, erased_key, html_key, source_key

PAGE, VARIANT = "demo-a", "demo-v"
HTML = "<html><head><title>{0}</title></head><body>{0}</body></html>"


class Memory:
    """Objects in memory, which count what is read."""

    def __init__(self) -> None:
        source = encode_model(source_of(full(tenant_id="demo")))
        self.read: Counter[str] = Counter()
        self.objects = {
            html_key(PAGE): HTML.format(PAGE).encode(),
            source_key(PAGE): source,
            html_key(VARIANT, variant=True): HTML.format(VARIANT).encode(),
            source_key(VARIANT, variant=True): source,
            erased_key(VARIANT): UNPUBLISHED,
        }

    async def get(self, key: str) -> StoredObject | None:
        self.read[key] += 1
        return StoredObject(self.objects[key], "text/html", f'"{key}"') if key in self.objects else None

    async def folders(self, prefix: str, most: int | None = None) -> list[str]:
        return sorted({key.split("/")[1] for key in self.objects if key.startswith(prefix)})


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def edge(memory: Memory) -> AsyncIterator[RunningEdge]:
    async with running_edge(objects=cast(Objects, memory)) as running:
        yield running


def state(**change: Any) -> ExperimentState:
    values = {
        "experiment_id": str(uuid4()), "tenant_id": "demo", "lp_id": PAGE, "arms": [PAGE, VARIANT], "requested_ms": 1,
        "epoch": 1, "number": 0, "status": "running", "weights": [0, 1], "started_ms": 1, "counted_from_ms": 1,
        "decided_ms": 1,
    }  # fmt: skip
    return ExperimentState.model_validate(values | change)


async def get(edge: RunningEdge, lp_id: str, accept: str = "text/html") -> tuple[int, str]:
    async with edge.session.get(
        f"{edge.public}/lp/{lp_id}", headers={"Accept": accept}, allow_redirects=False
    ) as answer:
        return answer.status, await answer.text()


async def ask(edge: RunningEdge, token: str = TOKEN, **variant: Any) -> tuple[int, str]:
    tenant = "demo" if token == TOKEN else "rival"
    value = {"request_id": str(uuid4()), "tenant_id": tenant, "variant": {"of": PAGE, "change": "copy"} | variant}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/vnd.kafka.json.v2+json"}
    body = json.dumps({"records": [{"value": value}]}).encode()
    async with edge.session.post(f"{edge.private}/topics/lp.requests", data=body, headers=headers) as answer:
        return answer.status, (await answer.json()).get("message", "")


# -- who sees a variant ------------------------------------------------------------------------------------


async def test_a_variant_has_no_address_and_the_answer_says_why(edge: RunningEdge, memory: Memory) -> None:
    status, text = await get(edge, VARIANT)
    assert status == 404 and "このページは公開されていません" in text and VARIANT not in text
    status, text = await get(edge, VARIANT, "application/json")
    assert status == 404 and "unpublished until an experiment serves it" in json.loads(text)["message"]
    assert (await get(edge, "demo-none"))[1].count("ページが見つかりません") == 2
    assert not memory.read[html_key(VARIANT, variant=True)], "an address without a page costs no other read"


async def test_an_experiment_shows_a_variant_until_it_stops(edge: RunningEdge) -> None:
    edge.services.experiments.take([state()])
    status, text = await get(edge, PAGE)
    assert status == 200 and f"<body>{VARIANT}" in text
    assert (await get(edge, VARIANT))[0] == 302
    edge.services.experiments.take([state(number=1, status="stopped", weights=[1, 0])])
    assert f"<body>{PAGE}" in (await get(edge, PAGE))[1] and (await get(edge, VARIANT))[0] == 404


async def test_a_variant_that_wins_is_the_page(edge: RunningEdge) -> None:
    edge.services.experiments.take([state(status="decided", winner=VARIANT)])
    assert f"<body>{VARIANT}" in (await get(edge, PAGE))[1] and (await get(edge, VARIANT))[0] == 302
    async with edge.session.get(f"{edge.public}/lp/{PAGE}") as answer:
        assert answer.headers["Cache-Control"] == "public, max-age=3600"


async def test_a_variant_costs_no_more_reads_than_another_arm(edge: RunningEdge, memory: Memory) -> None:
    edge.services.experiments.take([state()])
    for _ in range(5):
        await get(edge, PAGE)
    assert memory.read[html_key(VARIANT, variant=True)] == 1 and memory.read[html_key(VARIANT)] <= 1
    memory.read.clear()
    edge.services.shelf._entries.clear()
    await get(edge, PAGE)
    assert memory.read == {html_key(PAGE): 1, html_key(VARIANT, variant=True): 1}


async def test_the_sitemap_has_no_variant(edge: RunningEdge, memory: Memory) -> None:
    text = await Sitemaps(cast(Objects, memory), edge.services.tenants, "https://x.test").get()
    assert text is not None and PAGE.encode() in text and VARIANT.encode() not in text


async def test_an_experiment_takes_variants_as_arms_but_not_as_its_page(edge: RunningEdge) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for arms, status in (([PAGE, VARIANT], 202), ([VARIANT, PAGE], 422), ([PAGE, "demo-none"], 422)):
        body = {"lp_id": arms[0], "arms": arms}
        async with edge.session.post(f"{edge.private}/experiments", json=body, headers=headers) as answer:
            assert answer.status == status
            if arms[0] == VARIANT:
                assert f"lp_id: {VARIANT} is a variant without an address" in (await answer.json())["message"]


# -- the door for requests ---------------------------------------------------------------------------------


async def test_a_request_for_a_variant_is_sent_as_it_is(edge: RunningEdge) -> None:
    assert (await ask(edge, sections=["hero"], brief="短く"))[0] == 200
    assert (await ask(edge, of=VARIANT))[0] == 200, "a winner is a variant, and the next variant is made of it"
    sent = decode_model(VariantRequest, edge.records[0].value or b"")
    assert (sent.variant.of, sent.variant.sections, sent.variant.brief) == (PAGE, ["hero"], "短く")
    assert edge.records[0].key == str(sent.request_id).encode()


@pytest.mark.parametrize(("variant", "words"), [
    ({"of": "demo-none"}, "variant.of: tenant demo has no page demo-none"),
    ({"sections": ["price"]}, "variant.sections: price holds facts"),
    ({"change": "design", "sections": ["hero"]}, "variant.sections"),
    ({"change": "order", "sections": ["faq"]}, "variant.sections"),
    ({"brief": "x" * 10_240}, "variant.brief"),
    ({"sections": ["<script>"]}, "variant.sections.0"),
])  # fmt: skip
async def test_a_wrong_request_names_its_field_and_sends_nothing(edge: RunningEdge, variant: Any, words: str) -> None:
    status, message = await ask(edge, **variant)
    assert status == 422 and f"records[0].value: {words}" in message and edge.records == []


async def test_another_tenants_page_is_no_parent(edge: RunningEdge) -> None:
    status, message = await ask(edge, RIVAL)
    assert status == 422 and f"variant.of: tenant rival has no page {PAGE}" in message


@pytest.mark.parametrize("words", [*HOSTILE.values(), "必ず\n日本一\r\nNo.1", "\x00" * 300])
async def test_hostile_briefs_are_only_text(edge: RunningEdge, words: str) -> None:
    assert (await ask(edge, brief=words[:300]))[0] == 200
    assert decode_model(VariantRequest, edge.records[0].value or b"").variant.brief == words[:300].strip()
