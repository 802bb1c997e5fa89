"""kcat, confluent-kafka and the Java client use every topic, with each codec and with transactions.

What the workers count must equal what was committed: nothing lost, nothing twice, no aborted record.
"""

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from beacons import analyst, assert_tables_equal, some_beacons, wait_counted
from harness import FULL, full_only
from page_requests import least
from patience import PATIENCE_S

from infra.embedded.kafka import JARS
from infra.embedded.stack import Stack
from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.topics import load_topics
from schemas.generation import REQUESTS, RESULTS, encode_model
from schemas.heatmap import TOPIC
from streams.local.installation import Installation
from streams.proof.visitors import tally

pytestmark = pytest.mark.stack
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CLIENTS = Path(__file__).parents[1] / "kafka_clients"
# kcat's time to connect and send
SENT_S = 1.0
STEPS, STEP_RESULTS, PROGRESS = "lp.steps", "lp.step-results", "lp.progress"


def run(*command: str, given: str = "") -> list[list[str]]:
    """Run a command; return the fields of its lines. Fail with its errors."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stderr + done.stdout)[-3_000:]
    return [line.split("\t") for line in done.stdout.splitlines()]


def aborted(command: list[str], given: str) -> None:
    """Send a producer its records. Stop it with a signal while it waits for more."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        running.stdin.write(given)
        running.stdin.flush()
        time.sleep(SENT_S)
        running.terminate()
        running.stdin.close()  # it waits for a line, and looks for the signal then
        running.wait(30)


class Kcat:
    """kcat. Each run is a transaction. If a signal ends the run, the broker aborts it after a time-out."""

    def prepare(self, _folder: Path) -> None:
        if shutil.which("kcat") is None:
            pytest.skip("no kcat on the path")
        print(run("kcat", "-V")[2][0])

    def produce(self, brokers: str, lines: list[str]) -> None:
        fields = [line.split("\t") for line in lines]
        for _, group in itertools.groupby(fields, lambda each: each[:2]):
            by_topic = itertools.groupby(group, lambda each: each[2])
            runs = [(brokers, topic, list(records)) for topic, records in by_topic]
            with ThreadPoolExecutor(len(runs)) as pool:
                list(pool.map(self.produce_topic, *zip(*runs, strict=True)))

    def produce_topic(self, brokers: str, topic: str, records: list[list[str]]) -> None:
        codec, transaction = records[0][:2]
        given = "".join(f"{key}\t{base64.b64decode(value).decode()}\n" for _, _, _, key, value in records)
        command = ["kcat", "-P", "-b", brokers, "-t", topic, "-z", codec, "-K", "\t", "-X", "acks=all"]
        if transaction != "-":
            settings = ("transaction.timeout.ms=5000", "socket.timeout.ms=4000", "message.timeout.ms=4500")
            for setting in (f"transactional.id=kcat-{uuid4()}", *settings):
                command += ["-X", setting]
        if transaction.startswith("abort"):
            aborted(command, given)
        else:
            run(*command, given=given)

    def consume(self, brokers: str, topics: list[str]) -> Iterator[tuple[str, str, bytes]]:
        for topic in topics:
            command = ("kcat", "-C", "-b", brokers, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%t\t%k\t%s\n")
            for record in run(*command, "-X", "isolation.level=read_committed"):
                yield record[0], record[1], record[2].encode()


@dataclass
class Program:
    """A client that runs its own program from `tests/kafka_clients`."""

    command: Callable[[Path], list[str]]
    started: list[str] = field(default_factory=list)
    folder: Path = Path()

    def prepare(self, folder: Path) -> None:
        self.folder, self.started = folder, self.command(folder)

    def produce(self, brokers: str, lines: list[str]) -> None:
        file = self.folder / "lines"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(run(*self.started, "produce", brokers, str(file))[-1])

    def consume(self, brokers: str, topics: list[str]) -> Iterator[tuple[str, str, bytes]]:
        for fields in run(*self.started, "consume", brokers, *topics):
            if fields[0] == "record":
                yield fields[1], fields[2], base64.b64decode(fields[3])


def java(_folder: Path) -> list[str]:
    if shutil.which("java") is None:
        pytest.skip("no java on the path")
    libs = next(JARS.glob("libs-*"), None)
    if libs is None:
        pytest.skip("no jars of Kafka: Maven fetches them with the broker")
    return ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{libs}/*", str(CLIENTS / "java" / "Drives.java")]


def confluent(folder: Path) -> list[str]:
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "confluent-kafka==2.16.1")
    return [python, str(CLIENTS / "python" / "drives.py")]


@dataclass
class Plan:
    """The records of a test: lines to produce, and the committed lines among them."""

    lines: list[str] = field(default_factory=list)
    committed: Counter[tuple[str, str, bytes]] = field(default_factory=Counter)
    aborted: list[tuple[str, str, bytes]] = field(default_factory=list)
    beacons: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def add(self, codec: str, transaction: str, topic: str, key: str, value: bytes) -> None:
        record = topic, key, value
        self.lines.append("\t".join([codec, transaction, topic, key, base64.b64encode(value).decode()]))
        if transaction.startswith("abort"):
            self.aborted.append(record)
        else:
            self.committed[record] += 1

    def add_round(self, codec: str, transaction: str, beacons: list[dict[str, Any]], retried: int) -> None:
        """Add beacons, a request, and a record of each other topic. The first `retried` beacons come twice."""
        kept = not transaction.startswith("abort")
        for beacon in [*beacons, *beacons[:retried]]:
            self.add(codec, transaction, TOPIC, beacon["pageview_id"], msgspec.json.encode(beacon))
        request = least(request_id=uuid4(), tenant_id="demo")
        self.add(codec, transaction, REQUESTS, str(request.request_id), encode_model(request))
        if kept:
            self.beacons += beacons
            self.requests.append(str(request.request_id))
        for topic in others():
            name = str(uuid4())
            progress = {"schema": 1, "request_id": name, "percent": 0, "section": None, "at_ms": 1, "stage": "queued"}
            value = progress if topic == PROGRESS else {"schema": 1, "probe": name}
            self.add(codec, transaction, topic, name, json.dumps(value).encode())


def others() -> list[str]:
    """Return all topics except the topic of beacons and the topic of requests."""
    return [spec.name for spec in load_topics() if spec.name not in (TOPIC, REQUESTS)]


def planned(lp_id: str, codecs: tuple[str, ...]) -> Plan:
    plan = Plan()
    beacons = iter(some_beacons(lp_id, 6_000))

    def some(count: int) -> list[dict[str, Any]]:
        return list(itertools.islice(beacons, count))

    for codec in codecs:
        plan.add_round(codec, "-", some(12), retried=3)
        plan.add_round(codec, "commit1", some(12), retried=3)
        given_up = some(12)
        plan.add_round(codec, "abort1", given_up, retried=0)
        # a producer may send aborted records again
        plan.add_round(codec, "commit2", given_up[:6], retried=2)
        plan.add_round(codec, "abort2", some(6), retried=6)
    return plan


async def read_all(kafka: str, names: list[str]) -> list[tuple[str, str, bytes]]:
    """Return all committed records of the topics, read by aiokafka."""
    places = [place for name in names for place in await partitions_of(kafka, name)]
    consumer = build_consumer(kafka)
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends, records = await consumer.end_offsets(places), []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for part in (await consumer.getmany(timeout_ms=200)).values():
                records += [(one.topic, (one.key or b"").decode(errors="replace"), one.value or b"") for one in part]
        return records
    finally:
        await consumer.stop()


async def wait_until(kafka: str, topic: str, expected: set[str], key: Callable[[tuple[str, str, bytes]], str]) -> None:
    """Wait until the topic has a record with each of these keys."""
    deadline = time.monotonic() + PATIENCE_S
    while missing := expected - {key(record) for record in await read_all(kafka, [topic])}:
        assert time.monotonic() < deadline, f"{topic}: {len(missing)} of {len(expected)} are missing"
        await asyncio.sleep(0.3)


KCAT, JAVA, CONFLUENT = Kcat(), Program(java), Program(confluent)


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(KCAT, id="kcat", marks=full_only),
        pytest.param(CONFLUENT, id="confluent-kafka", marks=full_only),
        pytest.param(JAVA, id="java"),
    ],
)
async def test_what_a_client_commits_is_counted_once(
    client: Kcat | Program, stack: Stack, installation: Installation, tmp_path: Path
) -> None:
    if stack.addresses.broker_kind != "apache":
        pytest.skip("the clients' transactions and codecs need Apache Kafka")
    kafka, lp_id = stack.addresses.kafka, f"client{uuid4().hex[:8]}"
    await asyncio.to_thread(client.prepare, tmp_path)
    plan = planned(lp_id, CODECS if FULL else ("zstd",))
    await asyncio.to_thread(client.produce, kafka, plan.lines)

    # heatmaps: every committed beacon once, retries and aborted ones never
    clickhouse = analyst(stack)
    events = tally(plan.beacons).total()
    assert (await wait_counted(clickhouse, lp_id, events))["events"] == events > 0
    await assert_tables_equal(clickhouse, lp_id, plan.beacons)
    await clickhouse.close()

    # generation: a result for each committed request, a dead letter for each committed record that is no step
    await wait_until(kafka, RESULTS, set(plan.requests), lambda record: record[1])
    for topic in (STEPS, STEP_RESULTS):
        probes = {value.decode() for name, _, value in plan.committed if name == topic}
        await wait_until(kafka, f"{topic}.dlq", probes, lambda record: record[2].decode(errors="replace"))

    # every topic: the client reads committed records only
    names = [TOPIC, REQUESTS, *others()]
    read = Counter(await asyncio.to_thread(lambda: list(client.consume(kafka, names))))
    assert {record: read[record] for record in plan.committed} == dict(plan.committed)
    assert not [record for record in plan.aborted if record not in plan.committed and read[record]]
    results = Counter(key for name, key, _ in read if name == RESULTS)
    assert [results[request] for request in plan.requests] == [1] * len(plan.requests)
    dead = Counter(value for name, _, value in read.elements() if name in (f"{STEPS}.dlq", f"{STEP_RESULTS}.dlq"))
    for name, _, value in plan.committed:
        assert name not in (STEPS, STEP_RESULTS) or dead[value] == 1
    gone = {value for _, _, value in plan.aborted} - {value for _, _, value in plan.committed}
    assert not gone & {value for _, _, value in read}
    figures = f"{len(plan.lines)} records, {sum(plan.committed.values())} committed, {len(plan.beacons)} beacons"
    print(f"{type(client).__name__}: {figures}, {events} events counted, {len(plan.requests)} requests answered")
