"""Settings: error messages for invalid values, and sources of secrets."""

from pathlib import Path

import pytest

from schemas.errors import SettingError
from streams.cli.settings import settings_page
from streams.runtime.misspelt import misspelt_settings
from streams.runtime.settings import LlmModel, LlmProvider, Settings, load_settings


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("LPSTREAM_"):
            monkeypatch.delenv(name)


def test_every_invalid_setting_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPSTREAM_EDGE_PORT", "eighty")
    monkeypatch.setenv("LPSTREAM_TIMEZONE", "Tokyo")
    with pytest.raises(SettingError) as caught:
        load_settings()
    port, zone = str(caught.value).splitlines()
    assert port.startswith("LPSTREAM_EDGE_PORT: ") and "integer" in port
    assert zone.startswith("LPSTREAM_TIMEZONE: ") and "Asia/Tokyo" in zone


def test_the_value_of_an_invalid_setting_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPSTREAM_REDIS_URL", "hunter2")
    with pytest.raises(SettingError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_list_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPSTREAM_ALLOWED_ORIGINS", "https://a.example")
    with pytest.raises(SettingError, match="LPSTREAM_ALLOWED_ORIGINS: is not valid JSON"):
        load_settings()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"edge_client_body_bytes": 65_535}, "LPSTREAM_EDGE_CLIENT_BODY_BYTES: give 0, or at least"),
        ({"edge_client_body_bytes": 2**20, "edge_max_body_bytes": 2**21}, "LPSTREAM_EDGE_CLIENT_BODY_BYTES"),
        ({"edge_max_in_flight_bytes": 2**20, "edge_max_body_bytes": 2**21}, "LPSTREAM_EDGE_MAX_IN_FLIGHT_BYTES"),
        ({"edge_max_connections": 1}, "LPSTREAM_EDGE_MAX_CONNECTIONS"),
    ],
)
def test_limits_that_would_refuse_every_body_are_named(changes: dict[str, int], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        load_settings(**changes)
    assert load_settings(edge_client_body_bytes=0).edge_client_body_bytes == 0


def test_an_origin_with_a_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPSTREAM_ALLOWED_ORIGINS", '["https://a.example/x"]')
    with pytest.raises(SettingError, match=r"LPSTREAM_ALLOWED_ORIGINS \(at 0\)"):
        load_settings()


def test_a_secret_is_read_from_the_file_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-file\n", encoding="utf-8")
    monkeypatch.setenv("LPSTREAM_CLICKHOUSE_PASSWORD_FILE", str(tmp_path / "password"))
    settings = load_settings()
    assert settings.clickhouse_password.get_secret_value() == "from-file"
    assert "from-file" not in repr(settings)


def test_a_missing_secret_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LPSTREAM_S3_SECRET_ACCESS_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingError, match="LPSTREAM_S3_SECRET_ACCESS_KEY_FILE"):
        load_settings()


def test_a_provider_without_its_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LlmModel(id="m", usd_per_million_input=1, usd_per_million_output=2)
    provider = LlmProvider(name="p", base_url="http://127.0.0.1:1", key_variable="SOME_KEY", fast=model, high=model)
    with pytest.raises(SettingError, match="SOME_KEY"):
        provider.key()
    monkeypatch.setenv("SOME_KEY", "k")
    assert provider.key() == "k"


def test_every_setting_is_documented() -> None:
    page = settings_page()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert f"`LPSTREAM_{name.upper()}`" in page


def test_the_page_of_settings_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text("utf-8") == settings_page(), "run `.venv/bin/lpstream settings --write docs/settings.md`"


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("REDIS_URL", "http://redis", "redis://"),
        ("REDIS_URL", "redis://redis:port", "redis://"),
        ("CLICKHOUSE_URL", "tcp://clickhouse:9000", "http://"),
        ("CLICKHOUSE_URL", "clickhouse:8123", "http://"),
        ("CLICKHOUSE_URL", "http://lpstream:secret@clickhouse:8123", "no login"),
        ("S3_ENDPOINT_URL", "s3://bucket", "http://"),
        ("S3_ENDPOINT_URL", "http://[::1", "http://"),
        ("PUBLIC_URL", "//lp.example.com", "http://"),
        ("KAFKA_BOOTSTRAP_SERVERS", "SASL_SSL://kafka:9093", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:port", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092;kafka-2:9092", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "", "host:port"),
    ],
)
def test_an_address_of_another_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, example: str
) -> None:
    monkeypatch.setenv(f"LPSTREAM_{name}", value)
    with pytest.raises(SettingError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"LPSTREAM_{name}: ") and example in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["kafka:9092", "a.b-c:1, d:2", "[::1]:9092", "kafka"])
def test_brokers_may_be_several_and_have_any_host(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LPSTREAM_KAFKA_BOOTSTRAP_SERVERS", value)
    assert load_settings().kafka_bootstrap_servers == value


def test_a_secret_file_that_is_not_utf8_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"\xff")
    monkeypatch.setenv("LPSTREAM_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(SettingError, match="LPSTREAM_REDIS_PASSWORD_FILE: is not UTF-8"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("LPSTREAM_S3_ENDPOINT", "LPSTREAM_S3_ENDPOINT_URL"),
        ("LPSTREAM_KAFKA_BOOTSTRAP_SERVER", "LPSTREAM_KAFKA_BOOTSTRAP_SERVERS"),
        ("LPSTREAM_REDIS_PASSWORDFILE", "LPSTREAM_REDIS_PASSWORD_FILE"),
        # a setting, a secret's file, Kubernetes' variables of Strimzi's Service, variables of tests
        ("LPSTREAM_S3_ENDPOINT_URL", ""),
        ("LPSTREAM_REDIS_PASSWORD_FILE", ""),
        ("LPSTREAM_KAFKA_BOOTSTRAP_SERVICE_HOST", ""),
        ("LPSTREAM_KAFKA_BOOTSTRAP_SERVICE_PORT_TCP_TLS", ""),
        ("LPSTREAM_KAFKA_BOOTSTRAP_PORT_9093_TCP_ADDR", ""),
        ("LPSTREAM_TEST_KAFKA", ""),
        ("LPSTREAM_GUARANTEES", ""),
        ("LPSTREAM_WRITER_SHA256", ""),
    ],
)
def test_a_misspelt_setting_is_named_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch, name: str, setting: str
) -> None:
    monkeypatch.setenv(name, "x")
    lines = misspelt_settings()
    assert lines == ([f"warning: {name} is no setting and is ignored; did you mean {setting}?"] if setting else [])
