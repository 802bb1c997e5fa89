"""Kafka consumers: one function builds them all, with isolation level read_committed."""

import ast
from pathlib import Path

from infra.kafka.consumer import build_consumer

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "processors", "infra", "streams")
BUILDER = "infra/kafka/consumer.py"


def makes_a_consumer(source: str) -> bool:
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "AIOKafkaConsumer"
        for node in ast.walk(ast.parse(source))
    )


def test_only_the_builder_creates_consumers() -> None:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    makers = {str(path.relative_to(ROOT)) for path in modules if makes_a_consumer(path.read_text(encoding="utf-8"))}
    assert makers == {BUILDER}, "use infra.kafka.consumer.build_consumer, which reads committed records"


def test_a_consumer_created_elsewhere_is_detected() -> None:
    assert makes_a_consumer("import aiokafka\naiokafka.AIOKafkaConsumer('t')")


async def test_a_consumer_reads_committed_records_only() -> None:
    consumer = build_consumer("127.0.0.1:1")
    assert consumer._isolation_level == "read_committed" and not consumer._enable_auto_commit
    consumer._closed = True
