"""A real broker with SASL over TLS: clients connect with the right login and fail with any other."""

import asyncio
import base64
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import full_only
from page_requests import least
from patience import PATIENCE_S

from infra.embedded.kafka import ApacheKafka, Quorum, apache_obstacle
from infra.embedded.ports import Ports
from infra.kafka.access import KafkaAccess
from infra.kafka.admin import members, partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.producer import build_producer
from infra.kafka.topics import ensure_topics
from schemas.errors import Retryable
from streams.client import over_kafka
from streams.runtime.settings import Settings, load_settings

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(apache_obstacle() is not None, reason="needs Apache Kafka"),
    full_only,
]
CLUSTER = base64.urlsafe_b64encode(bytes(range(16))).decode().rstrip("=")
PASSWORD, TOPIC = "right-password", "lp.requests"


class Guarded(ApacheKafka):
    """A Kafka node with an additional listener that requires SCRAM over TLS."""

    def __init__(self, data: Path, port: int, controller: int, guarded: int, certificate: Path) -> None:
        super().__init__(data, port, Quorum((controller,), CLUSTER), say=print)
        self._guarded, self._certificate = guarded, certificate

    def prepare(self, cancelled: Any) -> None:
        formatted = (self._data / "logs" / "meta.properties").exists()
        super().prepare(cancelled)
        file = self._data / "server.properties"
        lines = []
        for line in file.read_text("utf-8").splitlines():
            if line.startswith(("listeners=", "advertised.listeners=")):
                line += f",GUARDED://127.0.0.1:{self._guarded}"
            lines.append(line)
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        lines += [
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_SSL",
            "listener.name.guarded.sasl.enabled.mechanisms=SCRAM-SHA-512",
            f"listener.name.guarded.scram-sha-512.sasl.jaas.config={scram}",
            "listener.name.guarded.ssl.keystore.type=PEM",
            f"listener.name.guarded.ssl.keystore.location={self._certificate}",
        ]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if not formatted:
            self._add_user()

    def _add_user(self) -> None:
        """Format the storage again with the user.

        A user without a login can be added only before the first start.
        """
        shutil.rmtree(self._data / "logs")
        tool = ["java", "-cp", f"{self._libs}/*", "kafka.tools.StorageTool", "format", "-t", self._quorum.cluster_id]
        user = f"SCRAM-SHA-512=[name=lpstream,password={PASSWORD}]"
        subprocess.run([*tool, "-c", str(self._data / "server.properties"), "--add-scram", user], check=True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("login")
    key, certificate, both = folder / "key.pem", folder / "ca.pem", folder / "both.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *request.split(), "-keyout", str(key), "-out", str(certificate)], check=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    ports = Ports(folder)
    guarded = ports.get("guarded")
    node = Guarded(folder / "kafka", ports.get("kafka"), ports.get("controller"), guarded, both)
    node.start()
    _wait_open(guarded)
    yield f"127.0.0.1:{guarded}", certificate
    node.process.stop()


def _wait_open(port: int) -> None:
    """Wait for the second listener; the broker opens it a moment after the first."""
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)


def settings(broker: tuple[str, Path], **changes: Any) -> Settings:
    servers, certificate = broker
    values = {
        "kafka_bootstrap_servers": servers,
        "kafka_protocol": "SASL_SSL",
        "kafka_username": "lpstream",
        "kafka_password": PASSWORD,
        "tls_ca_file": certificate,
    }
    return load_settings(**{**values, **changes})


async def test_admin_producer_and_consumer_log_in(broker: tuple[str, Path]) -> None:
    servers = settings(broker).kafka_bootstrap_servers
    await ensure_topics(servers, replication_factor=1, min_insync=1, partitions=1)
    async with build_producer(servers, "apache") as producer:
        await producer.send_and_wait(TOPIC, b"x")
    async with build_consumer(servers) as consumer:
        places = await partitions_of(servers, TOPIC)
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        assert (await consumer.getone()).value == b"x"


async def test_the_client_for_applications_logs_in(broker: tuple[str, Path]) -> None:
    servers, certificate = broker
    await ensure_topics(settings(broker).kafka_bootstrap_servers, replication_factor=1, min_insync=1, partitions=1)
    access = KafkaAccess("SASL_SSL", "SCRAM-SHA-512", "lpstream", PASSWORD, str(certificate))
    request = least()
    async with over_kafka(servers, access=access) as pages:
        assert await pages.request(request) == request.request_id


WRONG = [{"kafka_password": "wrong"}, {"tls_ca_file": None}, {"kafka_protocol": "PLAINTEXT"}]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: next(iter(change)))
async def test_wrong_login_certificate_or_protocol_is_refused(broker: tuple[str, Path], change: dict[str, Any]) -> None:
    with pytest.raises(Retryable) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await partitions_of(settings(broker, **change).kafka_bootstrap_servers, TOPIC)
    assert PASSWORD not in str(caught.value) and "wrong" not in str(caught.value)


async def _joined(servers: str) -> bool:
    """Return whether the group has a member; before the first join there is no coordinator."""
    with contextlib.suppress(Retryable):
        return await members(servers, "lpstream-generation") > 0
    return False


async def test_a_worker_joins_its_group(broker: tuple[str, Path]) -> None:
    servers = settings(broker).kafka_bootstrap_servers
    await ensure_topics(servers, replication_factor=1, min_insync=1, partitions=1)
    env = os.environ | {
        "LPSTREAM_KAFKA_BOOTSTRAP_SERVERS": str(servers),
        "LPSTREAM_KAFKA_PROTOCOL": "SASL_SSL",
        "LPSTREAM_KAFKA_USERNAME": "lpstream",
        "LPSTREAM_KAFKA_PASSWORD": PASSWORD,
        "LPSTREAM_TLS_CA_FILE": str(broker[1]),
    }
    worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "streams", "worker", "generation", env=env)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _joined(servers):
                await asyncio.sleep(0.5)
    finally:
        worker.terminate()
        await asyncio.wait_for(worker.wait(), PATIENCE_S)
