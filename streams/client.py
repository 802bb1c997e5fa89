"""The client for applications: request a page, follow its progress, get its result, by HTTP or Kafka.

    async with over_http("http://127.0.0.1:8081", token) as pages:
        request_id = await pages.request(GenerationRequest(request_id=uuid4(), tenant_id="demo", ...))
        async for step in pages.progress(request_id):
            print(step.percent, step.stage, step.section)
        print((await pages.result(request_id)).page_url)

A repeated request with the same request_id and body costs nothing and gives the same result, so repeat `request`
after a Retryable. `over_kafka` is for applications inside the network that have access to the topics.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol
from uuid import UUID

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from cachetools import LRUCache

from infra.kafka.access import Brokers, KafkaAccess
from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.producer import build_producer
from infra.kafka.reading import Reader
from infra.kafka.skips import pass_over
from schemas.errors import DecodeError, Refused, Retryable
from schemas.generation import (
    PROGRESS,
    REQUESTS,
    RESULTS,
    GenerationRequest,
    Progress,
    Result,
    VariantRequest,
    decode_model,
    encode_model,
    model_from_object,
)
from schemas.uploads import Upload

log = logging.getLogger(__name__)

WITHIN_S, AGAIN_S, CONNECT_S, ANSWER_S = 60.0, 0.2, 5.0, 30.0
KEPT_RESULTS, KEPT_PROGRESS = 10_000, 64
V2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}
NOT_NOW = (408, 429, 500, 502, 503, 504)


class Pages(Protocol):
    """The interface of both clients. Retryable: the same call may succeed later; Refused: it never will."""

    async def request(self, request: GenerationRequest | VariantRequest) -> UUID:
        """Send the request. Return its id once Kafka has acknowledged it."""

    def progress(self, request_id: UUID) -> AsyncIterator[Progress]:
        """Yield each step of the progress once, until the page is done."""

    async def result(self, request_id: UUID, within_s: float = WITHIN_S) -> Result:
        """Return the result when there is one. Raise Retryable if there is none after `within_s`."""


# -- HTTP --------------------------------------------------------------------------------------------------


class HttpPages:
    """A client of the private listener, opened by `over_http`."""

    def __init__(self, api_url: str, session: aiohttp.ClientSession) -> None:
        self._api = api_url.rstrip("/")
        self._session = session

    async def request(self, request: GenerationRequest | VariantRequest) -> UUID:
        """Send the request, as in `Pages`. Refused names the field that is invalid."""
        payload = b'{"records":[{"value":' + encode_model(request) + b"}]}"
        with self._errors():
            async with self._session.post(f"{self._api}/topics/{REQUESTS}", data=payload, headers=V2) as answer:
                body = await _body_of(answer)
        if error := body["offsets"][0].get("error"):
            raise Retryable(f"Kafka did not take the request: {error}")
        return request.request_id

    async def progress(self, request_id: UUID) -> AsyncIterator[Progress]:
        """Yield the progress, as in `Pages`. Raise Refused if the tenant has no such request.

        Raise Retryable if the edge ends the progress early, as it does when it restarts.
        """
        percent = 0
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S)
        with self._errors():
            async with self._session.get(f"{self._url_of(request_id)}/events", timeout=timeout) as answer:
                if answer.status != 200:
                    await _body_of(answer)
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        step = decode_model(Progress, line.removeprefix(b"data: "))
                        percent = step.percent
                        yield step
        if percent < 100:
            raise Retryable(f"{self._api}: the progress of {request_id} ended at {percent} %; ask again")

    async def result(self, request_id: UUID, within_s: float = WITHIN_S) -> Result:
        """Return the result, as in `Pages`. Raise Refused if the tenant has no such request."""
        last_error: Exception | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    try:
                        if (stored := await self._stored(request_id)) is not None:
                            return stored
                        async for _ in self.progress(request_id):
                            pass
                    except Retryable as error:
                        last_error = error
                        await asyncio.sleep(error.retry_after_s or AGAIN_S)
        raise _no_result(request_id, within_s) from last_error

    async def _stored(self, request_id: UUID) -> Result | None:
        with self._errors():
            async with self._session.get(self._url_of(request_id)) as answer:
                if answer.status == 202:
                    return None
                return decode_model(Result, await answer.read()) if answer.status == 200 else await _body_of(answer)

    async def upload(self, body: bytes) -> Upload:
        """Store a picture or a logo, whose id a request names in `assets`.

        Refused says what is wrong with the file.
        """
        with self._errors():
            async with self._session.post(f"{self._api}/uploads", data=body) as answer:
                return model_from_object(Upload, await _body_of(answer))

    async def uploads(self) -> list[str]:
        """Return the ids of the tenant's uploads."""
        with self._errors():
            async with self._session.get(f"{self._api}/uploads") as answer:
                ids: list[str] = (await _body_of(answer))["uploads"]
                return ids

    async def delete_upload(self, upload_id: str) -> None:
        """Delete an upload. Pages that show it lose it."""
        with self._errors():
            async with self._session.delete(f"{self._api}/uploads/{upload_id}") as answer:
                if answer.status != 204:
                    await _body_of(answer)

    def _url_of(self, request_id: UUID) -> str:
        return f"{self._api}/lp/requests/{request_id}"

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Retryable(f"{self._api}: {str(error) or type(error).__name__}") from error


@asynccontextmanager
async def over_http(api_url: str, token: str) -> AsyncIterator[HttpPages]:
    """Yield a client of the private listener at `api_url`. `token` is of the tenant in the requests."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield HttpPages(api_url, session)


async def _body_of(answer: aiohttp.ClientResponse) -> Any:
    """Return the body of a response 200. Raise Retryable or Refused for any other status."""
    try:
        body = await answer.json(content_type=None) or {}
    except ValueError:
        body = {}
    if answer.status == 200:
        return body
    detail = f"the edge answered {answer.status}: {body.get('message') or answer.reason}"
    if answer.status in NOT_NOW:
        after = answer.headers.get("Retry-After", "")
        raise Retryable(detail, float(after) if after.isdecimal() else None)
    raise Refused(detail, answer.status)


# -- Kafka -------------------------------------------------------------------------------------------------


class KafkaPages:
    """A client of the topics, opened by `over_kafka`. It sees only records that are newer than itself."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._producer = producer
        self._reader = Reader(consumer)
        self._results: LRUCache[UUID, Result] = LRUCache(KEPT_RESULTS)
        self._steps: LRUCache[UUID, list[Progress]] = LRUCache(KEPT_RESULTS)
        self._news = asyncio.Condition()

    async def request(self, request: GenerationRequest | VariantRequest) -> UUID:
        """Send the request, as in `Pages`."""
        if (known := self._results.get(request.request_id)) is not None and known.status == "rejected":
            del self._results[request.request_id]  # a corrected request may have the id of the rejected one
            self._steps.pop(request.request_id, None)
        key = str(request.request_id).encode()
        try:
            await self._producer.send_and_wait(REQUESTS, encode_model(request), key=key)
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}") from error
        return request.request_id

    async def progress(self, request_id: UUID) -> AsyncIterator[Progress]:
        """Yield the progress, as in `Pages`. It ends with the result, even if steps were missed."""
        seen = 0
        while True:
            for step in await self._steps_after(request_id, seen):
                seen += 1
                yield step
                if step.percent == 100:
                    return
            if request_id in self._results:  # the result arrived before the last step
                yield Progress(request_id=request_id, percent=100, stage="done", at_ms=round(time.time() * 1000))
                return

    async def _steps_after(self, request_id: UUID, seen: int) -> list[Progress]:
        """Return the steps after the first `seen`. Wait until there is a step or the result."""
        async with self._news:
            await self._news.wait_for(
                lambda: len(self._steps.get(request_id, ())) > seen or request_id in self._results
            )
            return self._steps.get(request_id, [])[seen:]

    async def result(self, request_id: UUID, within_s: float = WITHIN_S) -> Result:
        """Return the result, as in `Pages`."""
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait_for(lambda: request_id in self._results)
        except TimeoutError as error:
            raise _no_result(request_id, within_s) from error
        return self._results[request_id]

    async def read(self) -> None:
        """Read results and progress until cancelled."""
        while True:
            try:
                if self._reader.unreadable:
                    await pass_over(self._reader)
                fetched = await self._reader.fetch(AGAIN_S)
            except (KafkaError, Retryable) as error:
                log.warning("Kafka: %s, trying again", type(error).__name__)
                await asyncio.sleep(AGAIN_S)
                continue
            async with self._news:
                for part in fetched.values():
                    for record in part.records:
                        with contextlib.suppress(DecodeError):
                            self._take(record)
                self._news.notify_all()

    def _take(self, record: Any) -> None:
        if record.topic == RESULTS:
            result = decode_model(Result, record.value or b"")
            known = self._results.get(result.request_id)
            if known is None or known.status == "rejected":  # a rejection may be of a body that was corrected
                self._results[result.request_id] = result
            return
        step = decode_model(Progress, record.value or b"")
        steps = self._steps.setdefault(step.request_id, [])
        if len(steps) < KEPT_PROGRESS and (not steps or step.percent > steps[-1].percent):
            steps.append(step)


@asynccontextmanager
async def over_kafka(
    bootstrap_servers: str, broker: str = "apache", access: KafkaAccess | None = None
) -> AsyncIterator[KafkaPages]:
    """Yield a client that writes to and reads from the topics. It joins no consumer group.

    `broker` is the same as LPSTREAM_BROKER: "tansu" has no idempotent producer. `access` holds the login and TLS;
    None connects without both. Raise Retryable if the brokers do not answer.
    """
    servers = Brokers(bootstrap_servers, access or KafkaAccess())
    producer = build_producer(servers, broker, linger_ms=0)
    consumer = build_consumer(servers)
    async with contextlib.AsyncExitStack() as opened:
        for client in (producer, consumer):
            opened.push_async_callback(client.stop)
            try:
                await client.start()
            except KafkaError as error:
                raise Retryable(f"Kafka at {bootstrap_servers}: {type(error).__name__}") from error
        places = [place for topic in (RESULTS, PROGRESS) for place in await partitions_of(servers, topic)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:
            await consumer.position(place)
        pages = KafkaPages(producer, consumer)
        reading = asyncio.create_task(pages.read())
        try:
            yield pages
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _no_result(request_id: UUID, within_s: float) -> Retryable:
    return Retryable(f"no result of {request_id} within {within_s:g} s; check that a worker runs, or ask later")
