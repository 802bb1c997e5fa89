"""Kafka's retention limits fit the brokers' disks and match docs/production.md."""

from pathlib import Path

import pytest
import yaml

from infra.kafka.topics import TopicSpec, load_topics

ROOT = Path(__file__).parents[2]
SEGMENT = 2**30  # Kafka's default
UNITS = {"MiB": 2**20, "GiB": 2**30}
FULL = 0.8
BOUNDED = [topic for topic in load_topics() if topic.config.get("cleanup.policy") != "compact"]


def most(topic: TopicSpec) -> int:
    """Return the largest size of the topic in bytes: each partition may exceed its limit by one segment."""
    one = int(topic.config["retention.bytes"]) + int(topic.config.get("segment.bytes", SEGMENT))
    return topic.partitions * one


def test_all_topics_fit_on_a_brokers_disk() -> None:
    documents = yaml.safe_load_all((ROOT / "infra/kubernetes/base/kafka.yaml").read_text("utf-8"))
    pool = next(one for one in documents if one["kind"] == "KafkaNodePool")
    size = pool["spec"]["storage"]["volumes"][0]["size"]
    assert size.endswith("Gi") and pool["spec"]["replicas"] == 3, "each broker must hold every partition"
    assert sum(map(most, BOUNDED)) <= FULL * int(size.removesuffix("Gi")) * 2**30


@pytest.mark.parametrize("topic", BOUNDED, ids=lambda topic: topic.name)
def test_the_page_states_the_limit_of_each_topic(topic: TopicSpec) -> None:
    page = (ROOT / "docs/production.md").read_text("utf-8")
    name = ".dlq" if topic.name.endswith(".dlq") else topic.name
    row = next(line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1])
    number, unit = row.rstrip(" |").rpartition("|")[2].split()
    assert int(number) * UNITS[unit] == int(topic.config["retention.bytes"])
