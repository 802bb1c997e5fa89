"""An HTTP and Kafka client for the REST proxy that the conformance tests check."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord
from patience import PATIENCE_S
from registries import SmallRegistry

JSON, BINARY, AVRO = (f"application/vnd.kafka.{name}.v2+json" for name in ("json", "binary", "avro"))
V2 = "application/vnd.kafka.v2+json"
PARTITIONS = 3
RUN = uuid4().hex[:6]
TOPICS = [f"conformance-{RUN}-{number}" for number in range(150)]


@dataclass
class Answer:
    """An answer: its status, headers, body, and duration in seconds."""

    status: int
    headers: Any
    body: Any
    seconds: float

    @property
    def code(self) -> int | None:
        return self.body.get("error_code") if isinstance(self.body, dict) else None

    @property
    def offsets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body["offsets"]
        return found


@dataclass
class Proxy:
    """The proxy under test. `public` is the URL for browsers; it differs from `url` for the edge only."""

    url: str
    public: str
    kafka: str
    registry: str | None
    dialect: str
    token: str | None = None
    origin: str | None = None
    small_registry: SmallRegistry | None = None
    topics: Iterator[str] = field(default_factory=lambda: iter(TOPICS))

    @property
    def ours(self) -> bool:
        return self.dialect == "ours"

    async def ask(self, method: str, path: str, data: Any = None, *, public: bool = False, **headers: str) -> Answer:
        """Send a request; `_` in header names stands for `-`."""
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token and not public:
            wanted["Authorization"] = f"Bearer {self.token}"
        body = json.dumps(data) if isinstance(data, dict | list) else data
        started = asyncio.get_running_loop().time()
        skip = [] if "Content-Type" in wanted else ["Content-Type"]
        async with (
            aiohttp.ClientSession(skip_auto_headers=skip) as http,
            http.request(method, (self.public if public else self.url) + path, data=body, headers=wanted) as answer,
        ):
            text = await answer.read()
            seconds = asyncio.get_running_loop().time() - started
            try:
                parsed = json.loads(text) if text else None
            except ValueError:
                parsed = text
            return Answer(answer.status, answer.headers, parsed, seconds)

    async def produce(self, topic: str, data: Any, content_type: str = JSON, **headers: str) -> Answer:
        """Send POST /topics/{topic}."""
        return await self.ask("POST", f"/topics/{topic}", data, Content_Type=content_type, **headers)

    async def records(self, topic: str, count: int) -> list[ConsumerRecord]:
        """Wait for `count` records of the topic; return them sorted by partition and offset."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        found: list[ConsumerRecord] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(found) < count:
                    for part in (await consumer.getmany(timeout_ms=300)).values():
                        found += part
        finally:
            await consumer.stop()
        return sorted(found, key=lambda one: (one.partition, one.offset))

    async def end_offsets(self, topic: str) -> int:
        """Return the number of records in the topic."""
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka) as consumer:
            places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            return sum((await consumer.end_offsets(places)).values())
