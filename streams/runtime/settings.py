"""One typed settings object from `LPSTREAM_*`, checked once at start.

A secret can also come from a file: `LPSTREAM_S3_SECRET_ACCESS_KEY_FILE` names the file that holds the value
of `LPSTREAM_S3_SECRET_ACCESS_KEY`, for any setting whose type is secret.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsError

from infra.tenants import check_origin
from schemas.errors import SettingError
from streams.runtime.store_settings import PREFIX, StoreSettings, Url

__all__ = ["PREFIX", "LlmModel", "LlmProvider", "Settings", "any_address_set", "load_settings", "settings_page"]


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("give a name of the tz database such as Asia/Tokyo") from error
    return value


Origin = Annotated[str, AfterValidator(check_origin)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class LlmModel(BaseModel):
    """One model of a provider and its prices in US dollars per million tokens.

    `options` go into every request as they are, such as `{"reasoning_effort": "minimal"}`.
    """

    id: str
    usd_per_million_input: Annotated[float, Field(ge=0)]
    usd_per_million_output: Annotated[float, Field(ge=0)]
    options: dict[str, Any] = {}


class LlmProvider(BaseModel):
    """An OpenAI-compatible endpoint. The key itself stays in the environment variable `key_variable`.

    `concurrency` bounds its open calls in one worker; `limit_field` is what it calls the most tokens of an answer.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
    base_url: Url
    key_variable: str
    fast: LlmModel
    high: LlmModel
    concurrency: Annotated[int, Field(ge=1, le=5_000)] = 500
    limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    json_mode: bool = True

    def key(self) -> str:
        """The provider's key; SettingError when its variable is not set."""
        if not (value := os.environ.get(self.key_variable)):
            raise SettingError(f"{self.key_variable}: is not set; provider {self.name!r} takes its key from it")
        return value


class Settings(StoreSettings):
    """Everything that a process of lpstream can be told. Every field is `LPSTREAM_<NAME>`."""

    edge_wrong_logins: Annotated[
        int,
        Field(
            ge=0,
            description="Different wrong tokens from one address within ten minutes; beyond, 429 for every login from "
            "there. 0: no limit.",
        ),
    ] = 20
    tier_hot_days: Annotated[
        int, Field(ge=1, le=29, description="Days before today (UTC) that stay in ClickHouse; older ones move to S3.")
    ] = 7
    tier_warm_days: Annotated[
        int, Field(ge=2, description="Days before today that are read from S3; older ones move to Glacier.")
    ] = 30
    tier_interval_s: Annotated[
        float, Field(ge=0, description="Seconds between runs of `tier` by one of the heatmap workers; 0: none.")
    ] = 3_600.0
    tier_patience_s: Annotated[
        float,
        Field(gt=0, description="How long a move waits for queries that began before it; then the next run ends it."),
    ] = 120.0
    edge_host: Annotated[str, Field(description="Address that both listeners bind.")] = "127.0.0.1"
    edge_port: Annotated[Port, Field(description="Public listener, for browsers.")] = 8080
    api_port: Annotated[Port, Field(description="Private listener, for applications, analysts, operators.")] = 8081
    public_url: Annotated[
        Url | None,
        Field(description="The public listener as browsers reach it; page addresses begin with it."),
    ] = None
    api_url: Annotated[Url | None, Field(description="The private listener as applications reach it.")] = None
    api_token: Annotated[
        SecretStr, Field(description="Token that `lpstream request` gives to the private listener.")
    ] = SecretStr("")
    allowed_origins: Annotated[
        list[Origin], Field(description="JSON list of origins that may post beacons besides the edge's own.")
    ] = []  # noqa: RUF012 - pydantic copies it
    tenants_file: Annotated[Path, Field(description="Tenants: tokens by hash, origins, lp_ids, caps.")] = Path(
        "infra/tenants.toml"
    )
    schema_registry_url: Annotated[
        Url | None,
        Field(description="Confluent-compatible schema registry instead of `schemas/registry.json`."),
    ] = None
    edge_max_body_bytes: Annotated[
        int, Field(ge=1_024, le=64 * 2**20, description="Largest body, on the wire and inflated.")
    ] = 2**20
    edge_max_beacon_bytes: Annotated[
        int,
        Field(
            ge=1_024,
            le=2**20,
            description="Largest beacon, on the wire and inflated, at every door; also the largest value in Avro's "
            "JSON, and the largest Avro body of the public listener.",
        ),
    ] = 65_536
    edge_max_key_bytes: Annotated[
        int, Field(ge=64, le=32_768, description="Longest key of a record that is posted to a topic of its own.")
    ] = 1_024
    edge_max_record_bytes: Annotated[
        int,
        Field(
            ge=1_024,
            le=64 * 2**20,
            description="Largest record that the edge sends; keep it below the topics' `max.message.bytes`.",
        ),
    ] = 1_000_000
    edge_max_in_flight: Annotated[
        int, Field(ge=1, description="Unacknowledged records of each topic at most; beyond, 503.")
    ] = 3_000
    edge_max_in_flight_bytes: Annotated[
        int, Field(ge=2**20, description="Bytes of bodies that each listener of an edge holds at most; beyond, 503.")
    ] = 64 * 2**20
    edge_max_requests: Annotated[
        int, Field(ge=1, description="Requests that each listener of an edge works on at once; beyond, 503.")
    ] = 4_096
    edge_client_body_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Bytes of bodies that one client address has yet to send, each at least 64 KiB; beyond, 429; "
            "0: no such limit.",
        ),
    ] = 8 * 2**20
    edge_tenant_streams: Annotated[
        int,
        Field(
            ge=1,
            description="Event streams of one tenant at one edge process; beyond, 429. All tenants together have "
            "half of the connections.",
        ),
    ] = 100
    edge_max_connections: Annotated[
        int, Field(ge=2, description="Open connections of one edge process and listener; beyond, 503 and closed.")
    ] = 12_000
    edge_client_connections: Annotated[
        int, Field(ge=0, description="The same from one client address (IPv6: one /64); 0: no such limit.")
    ] = 1_000
    edge_rate: Annotated[
        float,
        Field(
            ge=0,
            description="Requests/s of one edge process's public listener, where each record after a request's first "
            "counts as one more; beyond, 429; 0: no limit.",
        ),
    ] = 20_000.0
    edge_client_rate: Annotated[
        float,
        Field(
            ge=0,
            description="The same from one client address, with ten seconds' worth at once; more than that in one "
            "request is 413. Mobile carriers put thousands of visitors behind one address: keep it generous. "
            "0: no limit.",
        ),
    ] = 100.0
    edge_byte_rate: Annotated[
        float,
        Field(
            ge=0,
            description="Bytes/s of inflated bodies of one edge process's public listener; beyond, 429; 0: no limit.",
        ),
    ] = 32.0 * 2**20
    edge_client_byte_rate: Annotated[
        float,
        Field(
            ge=0,
            description="The same from one client address, with ten seconds' worth at once; a larger body is 413. "
            "0: no limit.",
        ),
    ] = 256.0 * 2**10
    edge_tenant_rate: Annotated[
        float,
        Field(
            ge=0,
            description="Requests and records/s that a tenant may produce at one edge process's private listener, "
            "counted as those of a client address. 0: no limit.",
        ),
    ] = 2_000.0
    edge_tenant_byte_rate: Annotated[
        float, Field(ge=0, description="Bytes/s of the inflated bodies of the same; 0: no limit.")
    ] = 4.0 * 2**20
    edge_trusted_proxies: Annotated[
        int,
        Field(
            ge=0,
            le=8,
            description="Entries that proxies of yours append to X-Forwarded-For: the client is that many from its "
            "end. nginx appends 1, Google's load balancer 2. 0: no proxy, the header says nothing.",
        ),
    ] = 0
    edge_head_timeout_s: Annotated[
        float, Field(gt=0, le=60, description="From a request's first byte to the end of its head.")
    ] = 5.0
    edge_body_timeout_s: Annotated[float, Field(gt=0, le=60, description="From the head to the body's end.")] = 10.0
    edge_processes: Annotated[
        int, Field(ge=0, le=64, description="Edge processes that share the ports; 0: one for each core.")
    ] = 1
    edge_drain_s: Annotated[
        float,
        Field(
            ge=0,
            le=300,
            description="After SIGTERM: how long the edge still answers, and closes each connection with its answer. "
            "30 behind a load balancer; a second signal ends it.",
        ),
    ] = 0
    proxy_topics: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]],
        Field(
            description="JSON list of further topics that the private listener may produce to; their records are not "
            "checked, as by any REST proxy."
        ),
    ] = []  # noqa: RUF012 - pydantic copies it
    produce_timeout_s: Annotated[
        float, Field(gt=0, le=60, description="How long the edge waits for the broker's acknowledgement.")
    ] = 8.0
    heatmap_bucket_records: Annotated[int, Field(ge=1, description="Most records of a bucket.")] = 50_000
    heatmap_skew_s: Annotated[
        float, Field(gt=0, le=60, description="Wait past a bucket's end before a tick closes it.")
    ] = 1.0
    dlq_max_run: Annotated[
        int, Field(ge=1, description="Undecodable records in a row after which a partition is paused.")
    ] = 1_000
    dlq_max_ratio: Annotated[
        float,
        Field(gt=0, le=1, description="Share of undecodable records in a bucket that pauses a partition."),
    ] = 0.5
    worker_metrics_port: Annotated[Port, Field(description="Worker's /metrics and /readyz; 0: any free port.")] = 0
    llm_providers: Annotated[
        list[LlmProvider],
        Field(
            description="JSON list of providers in order: name, base_url, key_variable, fast, high (id,"
            " usd_per_million_input, usd_per_million_output, options), concurrency, limit_field, json_mode."
        ),
    ] = []  # noqa: RUF012 - pydantic copies it
    llm_first_token_s: Annotated[
        float, Field(gt=0, le=30, description="Wait for a call's first token; then the next provider is asked.")
    ] = 1.5
    llm_idle_s: Annotated[float, Field(gt=0, le=30, description="Longest silence within an answer.")] = 1.0
    llm_call_cap_s: Annotated[float, Field(gt=0, le=120, description="Longest call, whatever the deadline.")] = 30.0
    llm_breaker_failures: Annotated[
        int, Field(ge=1, description="Failures in a row after which a provider's model is left alone.")
    ] = 5
    llm_breaker_open_s: Annotated[
        float, Field(gt=0, description="How long it is left alone, until one call may probe it.")
    ] = 60.0
    llm_hedge_share: Annotated[
        float, Field(ge=0, le=1, description="Second calls beside slow ones, as a share of calls; 0: none.")
    ] = 0.1
    copy_fresh_s: Annotated[
        int, Field(ge=1, description="Age at which cached copy is made anew, while the old is still served.")
    ] = 7 * 86_400
    copy_stale_s: Annotated[int, Field(ge=0, description="How long after that it may still be served.")] = 23 * 86_400
    copy_l1_s: Annotated[int, Field(ge=1, description="How long copy stays in a worker's memory.")] = 600
    copy_l1_bytes: Annotated[int, Field(ge=0, description="Most memory for it, bytes.")] = 64 * 2**20
    lp_at_once: Annotated[
        int, Field(ge=1, description="Records of one topic that a generation worker works on at once.")
    ] = 2_000
    jpy_per_usd: Annotated[float, Field(gt=0, description="Exchange rate for the cost of model calls.")] = 155.0
    timezone: Annotated[str, AfterValidator(_timezone), Field(description="Time zone of days in `lp_daily`.")] = (
        "Asia/Tokyo"
    )
    lp_deadline_s: Annotated[float, Field(gt=0, le=300, description="Seconds from a request's record to its page.")] = (
        10.0
    )
    chromium: Annotated[
        str,
        Field(
            min_length=1,
            description="Chromium that takes pictures of published pages, behind heatmaps: a path, `auto` (one on "
            "PATH), or `off`. Needs the extra `screenshots`.",
        ),
    ] = "auto"
    log_format: Annotated[
        Literal["text", "json"],
        Field(description="Lines for people, or one JSON object a line for a collector of logs."),
    ] = "text"
    otlp_endpoint: Annotated[
        Url | None,
        Field(description="OTLP/HTTP collector of traces; unset: none are made. Needs the extra `tracing`."),
    ] = None
    trace_share: Annotated[
        float,
        Field(ge=0, le=1, description="Share of generation requests that are traced, where nobody decided before."),
    ] = 1.0
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="Least level that is logged.")
    ] = "INFO"

    @property
    def page_base_url(self) -> str:
        """Where published pages are reached, without a slash at the end."""
        return self.public_url or f"http://{self.edge_host}:{self.edge_port}"

    @property
    def api_base_url(self) -> str:
        """Where the private listener is reached, without a slash at the end."""
        return self.api_url or f"http://{self.edge_host}:{self.api_port}"

    @model_validator(mode="after")
    def _tiers_in_order(self) -> Self:
        if self.tier_warm_days <= self.tier_hot_days:
            raise ValueError(
                f"{PREFIX}TIER_WARM_DAYS: give more days than {PREFIX}TIER_HOT_DAYS ({self.tier_hot_days})"
            )
        return self

    @model_validator(mode="after")
    def _room_for_a_body(self) -> Self:
        """A limit below one body would refuse every body of that size for ever."""
        body = max(self.edge_max_body_bytes, LEAST_BODY)
        if 0 < self.edge_client_body_bytes < body:
            raise ValueError(
                f"{PREFIX}EDGE_CLIENT_BODY_BYTES: give 0, or at least the larger of {LEAST_BODY} and "
                f"{PREFIX}EDGE_MAX_BODY_BYTES ({self.edge_max_body_bytes})"
            )
        if self.edge_max_in_flight_bytes < self.edge_max_body_bytes:
            raise ValueError(
                f"{PREFIX}EDGE_MAX_IN_FLIGHT_BYTES: give at least {PREFIX}EDGE_MAX_BODY_BYTES "
                f"({self.edge_max_body_bytes})"
            )
        return self


LEAST_BODY = 65_536  # bytes that a slow body counts at least: it holds a connection and a request as well
ADDRESSES = ("kafka_bootstrap_servers", "redis_url", "clickhouse_url", "s3_endpoint_url")


def any_address_set() -> bool:
    """Whether the environment names a store: then settings are used wholly, and no `doors.json`."""
    return any(f"{PREFIX}{name.upper()}" in os.environ for name in ADDRESSES)


def load_settings(**overrides: Any) -> Settings:
    """The settings, or SettingError with a line for each wrong one: its name, why, and what it does."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_line(item) for item in error.errors(include_url=False, include_input=False)]
        raise SettingError("\n".join(lines)) from error
    except SettingsError as error:
        name = re.search(r'field "(\w+)"', str(error))
        setting = f"{PREFIX}{name.group(1).upper()}" if name else PREFIX + "*"
        raise SettingError(f'{setting}: is no JSON; give a JSON list, such as ["…"]') from error


def _line(item: Any) -> str:
    if not item["loc"]:  # two settings disagree: the text names them
        return str(item["msg"]).removeprefix("Value error, ")
    name = str(item["loc"][0])
    inside = ".".join(str(part) for part in item["loc"][1:])
    description = Settings.model_fields[name].description if name in Settings.model_fields else ""
    at = f" (at {inside})" if inside else ""
    return f"{PREFIX}{name.upper()}{at}: {item['msg']}. {description}".strip()


def settings_page() -> str:
    """The settings as a Markdown table: name, default, meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.annotation is SecretStr or field.default is None else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"
