"""Logins and TLS of the stores: settings reach each client and never appear in messages."""

import pickle
import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from infra.kafka.access import Brokers, KafkaAccess, access_of, reach
from infra.kafka.consumer import build_consumer
from infra.kafka.producer import build_producer
from infra.redis.line import open_redis
from schemas.errors import SettingError
from streams.runtime.settings import Settings, load_settings
from streams.workers.app import build_app

CA = certifi.where()
LOGIN = {"kafka_username": "lpstream", "kafka_password": "hunter2"}
EACH = ("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")


def settings(**values: Any) -> Settings:
    return load_settings(**values)


def test_brokers_without_settings_use_plaintext() -> None:
    assert reach(settings().kafka_bootstrap_servers) == {"bootstrap_servers": "127.0.0.1:9092"}
    assert reach("a:1,b:2") == {"bootstrap_servers": "a:1,b:2"}


@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_every_kafka_client_logs_in(protocol: str, mechanism: str) -> None:
    found = settings(kafka_protocol=protocol, kafka_sasl_mechanism=mechanism, tls_ca_file=CA, **LOGIN)
    wanted = reach(found.kafka_bootstrap_servers)
    assert wanted["security_protocol"] == protocol
    assert ("sasl_plain_password" in wanted) == protocol.startswith("SASL")
    assert isinstance(wanted["ssl_context"], ssl.SSLContext) == protocol.endswith("SSL")
    app = build_app(found, "generation")
    credentials = credentials_to_aiokafka_auth(app.conf.broker_credentials, None)
    assert [credentials.get(name) for name in EACH] == [wanted.get(name) for name in EACH]
    assert access_of(app.brokers) == access_of(found.kafka_bootstrap_servers)
    servers = found.kafka_bootstrap_servers
    consumer, producer = build_consumer(servers), build_producer(servers, "")
    for client in (consumer._client, producer.client):
        assert client._security_protocol == protocol
        assert (client._ssl_context is not None) == protocol.endswith("SSL")


def test_brokers_keep_their_access_when_pickled() -> None:
    brokers = Brokers("a:1", KafkaAccess("SASL_SSL", "PLAIN", "u", "p"))
    again = pickle.loads(pickle.dumps(brokers))  # noqa: S301 - our own bytes
    assert again == "a:1" and access_of(again) == brokers.access


def test_the_tls_context_requires_a_valid_certificate() -> None:
    context = KafkaAccess("SSL", ca_file=CA).context()
    assert context is not None and context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED


def test_redis_gets_its_password_and_certificates() -> None:
    found = settings(redis_url="rediss://redis:6379", redis_password="hunter2", tls_ca_file=CA)
    pool = open_redis(found.redis_url, found.redis_access).connection_pool
    assert pool.connection_kwargs["password"] == "hunter2" and pool.connection_kwargs["username"] is None
    assert pool.connection_kwargs["ssl_ca_certs"] == CA and "SSL" in pool.connection_class.__name__
    plain = open_redis("redis://redis:6379", found.redis_access).connection_pool
    assert "ssl_ca_certs" not in plain.connection_kwargs


def test_secrets_are_hidden_in_repr() -> None:
    found = settings(kafka_protocol="SASL_SSL", redis_password="hunter2", studio_secret="hunter2" * 6, **LOGIN)
    servers = found.kafka_bootstrap_servers
    shown = f"{found!r} {servers!r} {access_of(servers)!r} {found.redis_access!r}"
    assert "hunter2" not in shown


@pytest.mark.parametrize("name", ["REDIS_PASSWORD", "KAFKA_PASSWORD", "STUDIO_SECRET"])
def test_each_secret_may_come_from_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 40 + "\n", encoding="utf-8")
    monkeypatch.setenv(f"LPSTREAM_{name}_FILE", str(tmp_path / "secret"))
    assert getattr(settings(), name.lower()).get_secret_value() == "x" * 40


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kafka_protocol": "SASL_SSL"}, "LPSTREAM_KAFKA_USERNAME, LPSTREAM_KAFKA_PASSWORD: give both"),
        ({"kafka_protocol": "SASL_SSL", "kafka_username": "u"}, "LPSTREAM_KAFKA_PASSWORD"),
        ({"studio_secret": "hunter2"}, "LPSTREAM_STUDIO_SECRET: give at least 32"),
        ({"redis_url": "redis://:hunter2@redis:6379"}, "LPSTREAM_REDIS_URL: .*give no login here"),
        ({"redis_url": "redis://u:hunter2/b@redis:6379"}, "LPSTREAM_REDIS_URL: "),
        ({"redis_url": "redis://redis:6379?password=hunter2"}, "LPSTREAM_REDIS_URL: .*without query"),
        ({"kafka_bootstrap_servers": "u:hunter2@kafka:9092"}, "LPSTREAM_KAFKA_BOOTSTRAP_SERVERS: .*give host:port"),
        ({"clickhouse_url": "http://ch:8123/?user=u&password=hunter2"}, "LPSTREAM_CLICKHOUSE_URL: .*without query"),
        ({"s3_endpoint_url": "http://u:hunter2@s3:8333"}, "LPSTREAM_S3_ENDPOINT_URL: .*give no login here"),
        ({"clickhouse_s3_url": "http://u:hunter2@s3:8333"}, "LPSTREAM_CLICKHOUSE_S3_URL: .*give no login here"),
        ({"otlp_endpoint": "http://u:hunt@er2@otel:4318"}, "LPSTREAM_OTLP_ENDPOINT: give an address"),
        ({"public_url": "https://u:hunter2@lp.test"}, "LPSTREAM_PUBLIC_URL: .*give no login here"),
        ({"tls_ca_file": "/no/such/file"}, "LPSTREAM_TLS_CA_FILE"),
    ],
)
def test_an_invalid_setting_is_named_without_its_secret(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said) as caught:
        settings(**values)
    assert "hunter2" not in str(caught.value)
