"""A request id stands for one page, as long as its result. A rejection leaves the id free."""

import hashlib
import json
import time
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, patch
from uuid import UUID

import pytest
from page_requests import least

from infra.redis.line import RedisLine, open_redis
from infra.redis.results import RESULT_S, ResultStore
from schemas.codec import decode_request, encode_framed
from schemas.errors import DecodeError, Retryable
from schemas.generation import RESULTS, STEPS, Progress, Result, decode_model, encode_model
from schemas.uploads import Uploads
from streams.client import KafkaPages
from streams.edge.beacons.sender import Record
from streams.edge.rest.asks import send_asks
from streams.generation import requests, restore

WRONG, RIGHT = "03-1234-5678 内線1", "03-1234-5678"
ID = UUID(int=1)
PAGE = Result(request_id=ID, tenant_id="t1", status="completed", lp_id="t1-1f0c9d2e7a3b5c48")


def body(phone: str = RIGHT, **rest: Any) -> bytes:
    """Return a request's bytes with this telephone number, which may be wrong."""
    return encode_model(least(business={"name": "麺屋", "phone": RIGHT}, **rest)).replace(
        RIGHT.encode(), phone.encode()
    )


class Worker:
    """The services of a generation worker on a real Redis, whose topics are lists."""

    def __init__(self, line: RedisLine) -> None:
        self.line, self.results = line, ResultStore(line)
        self.settings = SimpleNamespace(lp_deadline_s=10)
        self.copywriter = self
        self.objects = None
        self.sent: list[tuple[str, bytes]] = []

    async def lookup(self, _: object) -> None:
        return None

    async def send(self, topic: str, _: bytes, value: bytes) -> None:
        self.sent.append((topic, value))

    def progress(self, *_: object, **__: object) -> None:
        return None

    async def ask(self, value: bytes) -> Result | None:
        """Handle a request; return the result that answers it, or None if its steps have begun."""
        self.sent.clear()
        await requests.handle(cast(Any, self), SimpleNamespace(value=value, timestamp=time.time()))
        if [topic for topic, _ in self.sent] == [RESULTS]:
            return decode_model(Result, self.sent[0][1])
        assert {topic for topic, _ in self.sent} == {STEPS}
        return None

    async def seconds_left(self, kind: str) -> int:
        return int(await self.line.call(lambda redis: redis.ttl(f"lp:{kind}:{ID}")))


@pytest.fixture
def worker(line: RedisLine) -> Worker:
    return Worker(line)


def is_rejection(result: Result | None, field: str) -> bool:
    return (
        result is not None and result.error is not None and (result.status, result.error.field) == ("rejected", field)
    )


async def test_a_corrected_request_is_carried_out_under_its_id(worker: Worker) -> None:
    assert is_rejection(await worker.ask(body(WRONG)), "business.phone")
    assert is_rejection(await worker.ask(body(WRONG)), "business.phone"), "the same body is wrong again"
    assert await worker.ask(body()) is None
    assert await worker.results.get(ID) is None, "nobody is shown the old rejection meanwhile"
    assert await worker.results.first(PAGE) == encode_model(PAGE)
    assert await worker.ask(body()) == PAGE


async def test_another_wrong_body_gets_a_rejection_of_its_own(worker: Worker) -> None:
    await worker.ask(body(WRONG))
    assert is_rejection(await worker.ask(body(WRONG, tone="formal").replace(b"formal", b"loud")), "business.phone")
    assert is_rejection(await worker.ask(body().replace(b'"friendly"', b'"loud"')), "tone")
    without_tenant = body().replace(b'"t1"', b'""')
    assert is_rejection(await worker.ask(without_tenant), "tenant_id")
    assert await worker.ask(body()) is None


async def asked_again(worker: Worker, value: bytes, sender: Any = None) -> None:
    """Send a request as the edge does, which stores it as queued once Kafka has it."""
    sender = sender or SimpleNamespace(send=AsyncMock())
    key = str(ID).encode()
    await send_asks(sender, worker.results, [Record(value, key, key, None)], None)
    await worker.results.put_queued("t1", ID, 2)


@pytest.mark.parametrize("again", [body(), body(WRONG)])
async def test_a_rejection_is_forgotten_when_the_edge_takes_the_id_again(worker: Worker, again: bytes) -> None:
    await worker.ask(body(WRONG))
    await worker.results.put_progress("t1", Progress(request_id=ID, percent=5, stage="validate", at_ms=1))
    await asked_again(worker, again)
    assert await worker.results.get(ID) is None
    progress = await worker.results.progress(ID)
    assert progress is not None and (progress[1].stage, progress[1].at_ms) == ("queued", 2)
    assert (await worker.ask(again) is None) == (again == body())


async def test_the_rejection_of_a_body_that_was_just_sent_stays(worker: Worker) -> None:
    """A worker may reject the new body before the edge has stored it as queued."""
    await worker.ask(body(WRONG))
    other = body().replace(b'"friendly"', b'"loud"')

    async def sent(*_: object) -> None:
        await worker.ask(other)

    await asked_again(worker, other, SimpleNamespace(send=sent))
    assert is_rejection(decode_model(Result, await worker.results.get(ID) or b""), "tone")


async def test_a_page_stays_when_the_edge_takes_its_id_again(worker: Worker) -> None:
    await worker.ask(body())
    await worker.results.first(PAGE)
    await asked_again(worker, body())
    assert await worker.results.get(ID) == encode_model(PAGE) and await worker.ask(body()) == PAGE


async def test_requests_are_sent_while_redis_is_away(worker: Worker) -> None:
    away = ResultStore(RedisLine(open_redis("redis://127.0.0.1:1/0")))
    sender, key = SimpleNamespace(send=AsyncMock()), str(ID).encode()
    await send_asks(cast(Any, sender), away, [Record(body(), key, key, None)], None)
    sender.send.assert_awaited_once()


@pytest.mark.parametrize("again", [body(assets={"picture": "0" * 64}), body()])
async def test_a_request_is_carried_out_once_its_picture_is_there_or_left_out(
    worker: Worker, again: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = AsyncMock(side_effect=[DecodeError("assets.picture", "is no upload of this tenant"), Uploads()])
    monkeypatch.setattr(requests, "uploads_of", looked_up)
    assert is_rejection(await worker.ask(body(assets={"picture": "0" * 64})), "assets.picture")
    assert await worker.ask(again) is None


def spellings() -> dict[str, bytes]:
    """Return the bytes of one request as several clients write them."""
    least_fields = {name: value for name, value in json.loads(body()).items() if value not in (None, [], {})}
    defaults = ("schema", "facts", "assets", "tone", "quality", "locale")
    turned = {**dict(reversed(least_fields.items())), "request_id": str(ID).upper(), "unknown": 1}
    return {
        "all fields": body(),
        "escaped": json.dumps(json.loads(body())).encode(),
        "without defaults": json.dumps(
            {name: value for name, value in least_fields.items() if name not in defaults}, ensure_ascii=False, indent=1
        ).encode(),
        "other order and spelling": json.dumps(turned).encode(),
        "Avro": encode_framed("generation_request", json.loads(body())),
        "from the studio": body(door="studio"),
        "with spaces": body().replace("麺屋".encode(), " 麺屋 ".encode()),
    }


@pytest.mark.parametrize("first", ["all fields", "Avro", "without defaults"])
async def test_a_request_in_another_spelling_is_the_same_request(worker: Worker, first: str) -> None:
    assert await worker.ask(spellings()[first]) is None
    for spelling, value in spellings().items():
        assert await worker.ask(value) is None, spelling
    await worker.results.first(PAGE)
    for spelling, value in spellings().items():
        assert await worker.ask(value) == PAGE, spelling


async def test_a_request_for_a_variant_in_another_spelling_is_the_same_request() -> None:
    fields = {
        "request_id": str(ID), "tenant_id": "t1", "variant": {"of": PAGE.lp_id, "change": "copy", "brief": "短く"}
    }  # fmt: skip
    others = [dict(reversed(fields.items())), fields | {"door": "api"}, fields | {"schema": 1}]
    digests = {requests._digest_of_fields(decode_request(json.dumps(one).encode())) for one in (fields, *others)}
    again = {**fields, "variant": {**cast(dict[str, Any], fields["variant"]), "brief": "長く"}}
    assert len(digests) == 1 and requests._digest_of_fields(decode_request(json.dumps(again).encode())) not in digests


async def test_a_request_that_the_release_before_began_is_known(worker: Worker) -> None:
    await worker.results.begin(ID, hashlib.sha256(body()).hexdigest())
    assert await worker.ask(body()) is None, "it stored the digest of the bytes alone"
    with pytest.raises(DecodeError, match="was used for another request"):
        await worker.ask(body(tone="formal"))


async def before(worker: Worker, value: bytes) -> bool:
    """Begin a request as the release before does, which knows the digest of the bytes alone.

    Return whether it takes the request for the first with its id.
    """
    digest = hashlib.sha256(value).hexdigest()
    first: Any = await worker.line.call(lambda redis: redis.set(f"lp:request:{ID}", digest, nx=True, get=True))
    return first in (None, digest.encode())


async def test_the_release_before_knows_a_request_that_this_one_began(worker: Worker) -> None:
    assert await worker.ask(body()) is None
    assert await before(worker, body()) and not await before(worker, body(tone="formal"))
    await worker.results.first(PAGE)
    assert await before(worker, body())


async def test_fields_count_only_with_the_bytes_that_they_came_with(worker: Worker) -> None:
    """The release before replaces only the digest of the bytes, after a rejection or an erasure."""
    assert await worker.ask(body()) is None
    await worker.line.call(lambda redis: redis.delete(f"lp:request:{ID}"))
    assert await before(worker, body(tone="formal"))
    for first in spellings().values():
        with pytest.raises(DecodeError, match="was used for another request"):
            await worker.ask(first)
    assert await worker.ask(body(tone="formal")) is None


async def test_an_erased_request_leaves_its_id_free(worker: Worker) -> None:
    assert await worker.ask(body()) is None
    await worker.results.erase(ID, cast(str, PAGE.lp_id))
    assert await worker.line.call(lambda redis: redis.keys("lp:*")) == []
    assert await worker.ask(body(tone="formal")) is None


async def test_the_same_bytes_are_known_to_a_release_that_reads_otherwise(worker: Worker) -> None:
    assert await worker.ask(body()) is None
    with patch.object(requests, "_digest_of_fields", lambda _: "another"):
        assert await worker.ask(body()) is None


async def test_a_rejection_is_published_while_redis_is_away(worker: Worker) -> None:
    worker.results = ResultStore(RedisLine(open_redis("redis://127.0.0.1:1/0")))
    assert is_rejection(await worker.ask(body(WRONG)), "business.phone")
    uploads = AsyncMock(side_effect=DecodeError("assets.picture", "is no upload of this tenant"))
    with patch.object(requests, "uploads_of", uploads):
        assert is_rejection(await worker.ask(body(assets={"picture": "0" * 64})), "assets.picture")
    with patch.object(requests, "_work", AsyncMock(side_effect=Retryable("S3: away"))):
        failed = await worker.ask(body())
    assert failed is not None and failed.error is not None and failed.error.code == "page_store"


@pytest.mark.parametrize("other", [body(tone="formal"), body(WRONG), body(tenant_id="t2")])
@pytest.mark.parametrize("finished", [False, True])
async def test_another_body_under_a_used_id_is_a_dead_letter(worker: Worker, other: bytes, finished: bool) -> None:
    assert await worker.ask(body()) is None
    if finished:
        await worker.results.first(PAGE)
    with pytest.raises(DecodeError, match="was used for another request"):
        await worker.ask(other)
    assert worker.sent == [] and await worker.ask(body()) == (PAGE if finished else None)


async def test_the_digest_lives_as_long_as_the_result(worker: Worker) -> None:
    await worker.ask(body())
    for kind in ("request", "fields"):  # the page has taken nearly all its time
        await worker.line.call(lambda redis, name=f"lp:{kind}:{ID}": redis.expire(name, 60))  # type: ignore[misc]
    await worker.results.first(PAGE)
    assert RESULT_S - 5 <= await worker.seconds_left("result") <= await worker.seconds_left("request")
    assert await worker.seconds_left("result") <= await worker.seconds_left("fields")


async def test_a_result_without_a_digest_answers_its_tenant(worker: Worker) -> None:
    """A result of an earlier release or one that was restored has no digest, so its body is unknown."""
    await worker.results.keep(ID, encode_model(PAGE), RESULT_S)
    assert await worker.ask(body()) == PAGE == await worker.ask(body(tone="formal"))
    with pytest.raises(DecodeError, match="another request"):
        await worker.ask(body(tenant_id="t2"))


async def test_a_page_takes_the_place_of_a_rejection_that_stayed(worker: Worker) -> None:
    """Without Redis at its arrival, a corrected request cannot remove the rejection."""
    rejection = await worker.ask(body(WRONG))
    assert rejection is not None
    step = await worker.results.step(ID, UUID(int=2))
    assert not step.answered, "else the page would never be made"
    record = SimpleNamespace(value=encode_model(PAGE), timestamp=time.time() * 1000)
    assert await restore._restore_result(cast(Any, worker), cast(Any, record))
    assert await worker.results.get(ID) == encode_model(PAGE)
    assert await worker.results.first(rejection) == encode_model(PAGE), "a page gives way to nothing"
    assert (await worker.results.step(ID, UUID(int=2))).answered


async def test_a_client_on_kafka_waits_for_the_page_of_a_corrected_request() -> None:
    async def sent(*_: Any, **__: Any) -> None:
        return None

    pages = KafkaPages(cast(Any, SimpleNamespace(send_and_wait=sent)), cast(Any, None))
    rejection = Result(request_id=ID, tenant_id="t1", status="rejected")
    for result in (rejection, PAGE):
        await pages.request(least())
        with pytest.raises(Retryable):
            await pages.result(ID, within_s=0.01)
        pages._take(SimpleNamespace(topic=RESULTS, value=encode_model(result)))
        assert await pages.result(ID) == result
    await pages.request(least())
    assert await pages.result(ID) == PAGE, "a repeated request has its page at once"


async def test_a_client_on_kafka_takes_a_page_for_a_rejection_that_came_late() -> None:
    pages = KafkaPages(cast(Any, SimpleNamespace(send_and_wait=AsyncMock())), cast(Any, None))
    rejection = Result(request_id=ID, tenant_id="t1", status="rejected")
    await pages.request(least())  # corrected before the rejection of the first body arrives
    for result in (rejection, PAGE, rejection):
        pages._take(SimpleNamespace(topic=RESULTS, value=encode_model(result)))
    assert await pages.result(ID) == PAGE
