"""Settings: error messages for invalid values, and sources of secrets."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.errors import SettingError
from streams.cli.settings import settings_page
from streams.runtime.misspelt import misspelt
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
        ("LPSTREAM_EGDE_PORT", "LPSTREAM_EDGE_PORT"),
        ("LPSTREAM_WORKER_METRIC_PORT", "LPSTREAM_WORKER_METRICS_PORT"),
        ("LPSTREM_EDGE_PORT", "LPSTREAM_EDGE_PORT"),
        ("LPSTREAM_Egde_Port", "LPSTREAM_EDGE_PORT"),
        ("LPSTREAM_edge_port", ""),
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
def test_a_misspelt_setting_is_named_with_the_right_one(name: str, setting: str) -> None:
    lines = list(misspelt({name: "x"}, Settings.model_fields))
    assert lines == ([f"warning: {name} is no setting and is ignored; did you mean {setting}?"] if setting else [])


def test_the_address_of_a_service_of_kubernetes_is_no_misspelt_setting() -> None:
    assert not list(misspelt({"LPSTREAM_EDGE_API_PORT": "tcp://10.0.0.1:8081"}, Settings.model_fields))


def test_each_start_warns_of_a_misspelt_setting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LPSTREAM_EDGE_PORTT", "8080")
    for _ in range(2):
        load_settings()
    assert caplog.text.count("did you mean LPSTREAM_EDGE_PORT?") == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"api_port": 8_080}, ["EDGE_PORT", "API_PORT"]),
        ({"edge_port": 8_081}, ["EDGE_PORT", "API_PORT"]),
        ({"worker_metrics_port": 8_081}, ["API_PORT", "WORKER_METRICS_PORT"]),
        ({"edge_port": 7, "api_port": 7, "worker_metrics_port": 7}, ["EDGE_PORT", "API_PORT", "WORKER_METRICS_PORT"]),
        ({"edge_port": 0, "edge_processes": 2}, ["EDGE_PORT", "EDGE_PROCESSES"]),
        ({"api_port": 0, "edge_processes": 0}, ["API_PORT", "EDGE_PROCESSES"]),
        ({"kafka_min_insync_replicas": 2}, ["KAFKA_MIN_INSYNC_REPLICAS", "KAFKA_REPLICATION_FACTOR"]),
        ({"redis_username": "u"}, ["REDIS_USERNAME", "REDIS_PASSWORD"]),
        ({"s3_access_key_id": "u"}, ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"]),
        ({"s3_secret_access_key": "u"}, ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"]),
        ({"public_url": "https://a.example", "api_url": "https://A.example:443/api"}, ["PUBLIC_URL", "API_URL"]),
        ({"tier_hot_days": 9, "tier_warm_days": 9}, ["TIER_WARM_DAYS", "TIER_HOT_DAYS"]),
    ],
)
def test_settings_that_contradict_each_other_are_named(changes: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings(**changes)
    assert all(f"LPSTREAM_{name}" in str(caught.value) for name in named), caught.value


def test_hot_days_leave_time_before_clickhouse_deletes_rows() -> None:
    assert load_settings(tier_hot_days=21).tier_hot_days == 21
    with pytest.raises(SettingError, match=r"LPSTREAM_TIER_HOT_DAYS: .* 21\. .*ClickHouse deletes rows at 30 days"):
        load_settings(tier_hot_days=22)


def test_all_contradictions_are_named_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        load_settings(api_port=8_080, kafka_min_insync_replicas=2)
    assert len(str(caught.value).splitlines()) == 2


def test_free_ports_do_not_contradict_each_other() -> None:
    assert load_settings(edge_port=0, api_port=0, worker_metrics_port=0).edge_port == 0


def test_two_providers_of_one_name_are_refused() -> None:
    model = {"id": "m", "usd_per_million_input": 1, "usd_per_million_output": 2}
    provider = {"preset": "openai", "fast": model, "high": model}
    with pytest.raises(SettingError, match="LPSTREAM_LLM_PROVIDERS: 2 providers have the name openai"):
        load_settings(llm_providers=[provider, provider])
    assert len(load_settings(llm_providers=[provider, provider | {"name": "other"}]).llm_providers) == 2


@pytest.mark.parametrize("price", [math.inf, math.nan, 1e30])
def test_a_price_without_sense_is_refused(price: float) -> None:
    with pytest.raises(ValueError, match="usd_per_million_input"):
        LlmModel(id="m", usd_per_million_input=price, usd_per_million_output=2)


NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e30", "9" * 30])
def test_no_number_is_infinite_or_absurd(value: str) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings(**dict.fromkeys(NUMBERS, value))
    assert len(str(caught.value).splitlines()) == len(NUMBERS)


def test_a_start_never_ends_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is tried with each of these values: it is taken, or an error names it."""
    values = ("", " ", "x" * 5_000, "\udcff", "[" * 50_000, "{}", "[null]", "-1", "\n", "../" * 500, "9" * 5_000)
    for name in Settings.model_fields:
        for value in values:
            with monkeypatch.context() as patch:
                patch.setenv(f"LPSTREAM_{name.upper()}", value)
                try:
                    load_settings()
                except SettingError as error:
                    assert f"LPSTREAM_{name.upper()}" in str(error)


@pytest.mark.parametrize("name", ["ALLOWED_ORIGINS", "LLM_PROVIDERS", "PROXY_TOPICS"])
def test_a_list_that_is_nested_too_deeply_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"LPSTREAM_{name}", "[" * 50_000)
    with pytest.raises(SettingError, match=f"LPSTREAM_{name}: is not valid JSON"):
        load_settings()


@pytest.mark.parametrize("content", ["", "\n", " \t\r\n"])
def test_an_empty_secret_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text(content, encoding="utf-8")
    for name in [name.upper() for name, field in Settings.model_fields.items() if field.annotation is SecretStr]:
        with monkeypatch.context() as patch:
            patch.setenv(f"LPSTREAM_{name}_FILE", str(tmp_path / "secret"))
            with pytest.raises(SettingError, match=f"LPSTREAM_{name}_FILE: .* is empty"):
                load_settings()


URLS = ("PUBLIC_URL", "API_URL", "CLICKHOUSE_URL", "S3_ENDPOINT_URL", "SCHEMA_REGISTRY_URL", "OTLP_ENDPOINT")


@pytest.mark.parametrize(
    "rest",
    [
        "a.example/?user=a", "a.example?", "a.example/#part", "a.example/a b", "a.example/<b>", 'a.example/"x', "a b",
        "a.example/'", "例え.jp", "a.example:0", "a.example:65536", "a.example:", "a..example", "-a.example", "[::g]",
        "a.example\\x", "a.example/\n", "a.example/;x", "1.2.3.400", "a.example/&amp;", "",
    ],
)  # fmt: skip
def test_an_address_that_is_more_than_an_address_is_refused(rest: str) -> None:
    for name in URLS:
        with pytest.raises(SettingError, match=f"LPSTREAM_{name}: give an address"):
            load_settings(**{name.lower(): f"https://{rest}"})


@pytest.mark.parametrize("name", ["PUBLIC_URL", "API_URL", "CLICKHOUSE_URL", "S3_ENDPOINT_URL"])
def test_an_address_with_a_login_is_refused(name: str) -> None:
    for login in ("user:hunter2@", "user@", "@"):
        with pytest.raises(SettingError, match=f"LPSTREAM_{name}: give no login") as caught:
            load_settings(**{name.lower(): f"https://{login}a.example"})
        assert "hunter2" not in str(caught.value)


def test_a_registry_may_have_a_login_because_it_has_no_other_setting() -> None:
    assert load_settings(schema_registry_url="https://u:p@r.example").schema_registry_url == "https://u:p@r.example"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("HTTPS://LP.Example.com:443/", "https://lp.example.com"),
        ("http://lp.example.com:80/a/", "http://lp.example.com/a"),
        ("https://lp.example.com:80", "https://lp.example.com:80"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://lp_host", "http://lp_host"),
    ],
)
def test_the_address_of_pages_is_as_browsers_write_it(given: str, written: str) -> None:
    assert load_settings(public_url=given).public_url == written


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://h:6379/abc"), ("REDIS_URL", "redis://h:6379/0?password=x"), ("REDIS_URL", "redis://h/0/1"),
        ("REDIS_URL", "redis://h:99999"), ("KAFKA_BOOTSTRAP_SERVERS", "h:99999"), ("KAFKA_BOOTSTRAP_SERVERS", "h:0"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1,,b:2"), ("KAFKA_BOOTSTRAP_SERVERS", "[::g]:9092"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a..b:1"), ("S3_BUCKET", "a..b"), ("S3_BUCKET", "a.-b"), ("S3_BUCKET", "ab"),
        ("S3_BUCKET", "192.168.0.1"), ("S3_BUCKET", "a" * 64), ("S3_BUCKET", "A-b"), ("S3_REGION", "x/y"),
        ("S3_REGION", ""), ("KAFKA_GROUP_INSTANCE_ID", "a b"), ("EDGE_HOST", "a b"), ("EDGE_HOST", "<b>"),
    ],
)  # fmt: skip
def test_a_name_that_its_store_refuses_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"LPSTREAM_{name}"):
        load_settings(**{name.lower(): value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("REDIS_URL", "redis://h:6379/15"), ("S3_BUCKET", "a.b-c"), ("EDGE_HOST", "::1"), ("EDGE_HOST", "edge.internal")],
)
def test_a_name_that_its_store_takes_is_taken(name: str, value: str) -> None:
    assert getattr(load_settings(**{name.lower(): value}), name.lower()) == value
