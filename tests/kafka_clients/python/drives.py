"""Produce the lines of a file with confluent-kafka, or print all committed records of topics.

A line has a codec, a transaction, a topic, a key and a value in base64.
"""

import base64
import itertools
import sys
import uuid
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition


def produce(brokers: str, file: str) -> None:
    lines = [line.split("\t") for line in Path(file).read_text(encoding="utf-8").splitlines()]
    producers: dict[tuple[str, bool], Producer] = {}
    for (codec, transaction), group in itertools.groupby(lines, lambda line: (line[0], line[1])):
        transactional = transaction != "-"
        if (codec, transactional) not in producers:
            producers[codec, transactional] = opened(brokers, codec, transactional)
        producer = producers[codec, transactional]
        if transactional:
            producer.begin_transaction()
        for _, _, topic, key, value in group:
            producer.produce(topic, base64.b64decode(value), key, on_delivery=delivered)
        assert producer.flush(30) == 0
        if transactional:
            (producer.abort_transaction if transaction.startswith("abort") else producer.commit_transaction)(30)


def opened(brokers: str, codec: str, transactional: bool) -> Producer:
    settings = {"bootstrap.servers": brokers, "compression.type": codec, "enable.idempotence": True}
    if not transactional:
        return Producer(settings)
    producer = Producer({**settings, "transactional.id": f"python-{codec}-{uuid.uuid4()}"})
    producer.init_transactions(30)
    return producer


def delivered(error: object, _message: object) -> None:
    assert error is None, error


def consume(brokers: str, topics: list[str]) -> None:
    settings = {"bootstrap.servers": brokers, "group.id": f"python-{uuid.uuid4()}", "enable.auto.commit": False}
    consumer = Consumer({**settings, "isolation.level": "read_committed", "enable.partition.eof": True})
    places = [
        TopicPartition(topic, number, 0)
        for topic in topics
        for number in consumer.list_topics(topic, 30).topics[topic].partitions
    ]
    consumer.assign(places)
    left = {(place.topic, place.partition) for place in places}
    while left:
        message = consumer.poll(30)
        assert message is not None, f"no end of {left}"
        if message.error():
            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
            left.discard((message.topic(), message.partition()))
            continue
        key, value = message.key() or b"", message.value() or b""
        print("record", message.topic(), key.decode(), base64.b64encode(value).decode(), sep="\t")
    consumer.close()


if sys.argv[1] == "produce":
    produce(*sys.argv[2:4])
else:
    consume(sys.argv[2], sys.argv[3:])
print("version", confluent_kafka.version(), confluent_kafka.libversion()[0], sep="\t")
