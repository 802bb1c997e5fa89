"""The typed settings from `LPSTREAM_*` variables, checked once at start.

A secret can also come from a file: `LPSTREAM_S3_SECRET_ACCESS_KEY_FILE` names the file with the value of
`LPSTREAM_S3_SECRET_ACCESS_KEY`. The same is possible for each secret setting.
"""

import logging
import os
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsError

from infra.tenants import Origin
from schemas.errors import SettingError
from streams.runtime.addresses import is_host, reachable
from streams.runtime.contradictions import contradictions
from streams.runtime.experiment_settings import ExperimentSettings
from streams.runtime.llm_settings import LlmModel, LlmProvider
from streams.runtime.misspelt import misspelt
from streams.runtime.store_settings import PREFIX, SiteUrl, Url, UrlWithLogin

__all__ = ["PREFIX", "LlmModel", "LlmProvider", "Settings", "any_address_set", "load_settings"]

log = logging.getLogger(__name__)


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("give a name from the tz database, such as Asia/Tokyo") from error
    return value


def _host(value: str) -> str:
    if value and not is_host(f"[{value}]" if ":" in value else value):
        raise ValueError("give an IP address or the name of a host")
    return value


Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(ExperimentSettings):
    """All settings of lpstream's processes. Each field is set by `LPSTREAM_<NAME>`."""

    edge_wrong_logins: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="Most different wrong tokens from one address within ten minutes; after that, further wrong "
        "tokens from there get 429. 0: no limit.",
    )
    tier_hot_days: int = Field(
        7,
        ge=1,
        le=21,
        description="Days before today (UTC) that stay in ClickHouse; older ones move to S3. At most 21, because "
        "ClickHouse deletes rows at 30 days, and a delayed move needs time before that.",
    )
    tier_warm_days: int = Field(
        30,
        ge=2,
        le=3_650,
        description="Days before today (UTC) that stay readable; older ones move from S3 to Glacier.",
    )
    tier_cold_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after which an expiry of your bucket deletes an object of `heatmap-cold/`, from its move to "
        "Glacier. Then a missing object is no problem. 0: none expires.",
    )
    tier_interval_s: float = Field(
        3_600.0,
        ge=0,
        le=7 * 86_400,
        description="Seconds between runs of `tier` by one of the heatmap workers; 0: no runs.",
    )
    tier_patience_s: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="Seconds that a move waits for earlier queries; after that the next run finishes it.",
    )
    edge_host: Annotated[str, AfterValidator(_host)] = Field(
        "127.0.0.1", description="Address that both listeners bind."
    )
    edge_port: Port = Field(8080, description="Port of the public listener, for browsers.")
    api_port: Port = Field(8081, description="Port of the private listener, for applications, analysts and operators.")
    production: bool = Field(
        False,
        description="Whether visitors use this installation. Then LPSTREAM_PUBLIC_URL and LPSTREAM_API_URL must be "
        "addresses that browsers reach by https.",
    )
    public_url: SiteUrl | None = Field(
        None, description="URL of the public listener for browsers; page addresses begin with it."
    )
    api_url: SiteUrl | None = Field(None, description="URL of the private listener for applications.")
    api_token: SecretStr = Field(
        SecretStr(""), description="Token that `lpstream request` sends to the private listener."
    )
    allowed_origins: list[Origin] = Field(
        [], description="JSON list of origins that may post beacons, besides the edge's own origin."
    )
    tenants_file: Path = Field(
        Path("infra/tenants.toml"), description="File of tenants: token hashes, origins, lp_ids, caps."
    )
    schema_registry_url: UrlWithLogin | None = Field(
        None, description="URL of a Confluent-compatible schema registry, instead of `schemas/registry.json`."
    )
    edge_max_body_bytes: int = Field(
        2**20, ge=1_024, le=64 * 2**20, description="Largest body in bytes, on the wire and inflated."
    )
    edge_max_upload_bytes: int = Field(
        10 * 2**20, ge=2**16, le=64 * 2**20, description="Largest picture or logo in bytes that `POST /uploads` takes."
    )
    edge_max_beacon_bytes: int = Field(
        65_536,
        ge=1_024,
        le=2**20,
        description="Largest beacon in bytes, on the wire and inflated, on all routes; also the largest value in "
        "Avro's JSON, and the largest Avro body of the public listener.",
    )
    edge_max_key_bytes: int = Field(
        1_024, ge=64, le=32_768, description="Longest key in bytes of a record that is posted to a topic."
    )
    edge_max_record_bytes: int = Field(
        1_000_000,
        ge=1_024,
        le=64 * 2**20,
        description="Largest record in bytes that the edge sends; keep it below the topics' `max.message.bytes`.",
    )
    edge_max_in_flight: int = Field(
        3_000, ge=1, le=10_000_000, description="Most unacknowledged records of each topic; above it, 503."
    )
    edge_max_in_flight_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        le=2**40,
        description="Most bytes of bodies in memory of each listener of an edge; above it, 503.",
    )
    edge_max_requests: int = Field(
        4_096, ge=1, le=1_000_000, description="Most concurrent requests of each listener of an edge; above it, 503."
    )
    edge_client_body_bytes: int = Field(
        8 * 2**20,
        ge=0,
        le=2**40,
        description="Most bytes that one client address has yet to send of its bodies, where each counts at least "
        "64 KiB; above it, 429. 0: no limit.",
    )
    edge_tenant_streams: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Most event streams of one tenant at one edge process; above it, 429. All tenants together "
        "get half of the connections.",
    )
    edge_max_connections: int = Field(
        12_000,
        ge=2,
        le=1_000_000,
        description="Most connections of one edge process and listener; above it, 503 and closed.",
    )
    edge_client_connections: int = Field(
        1_000, ge=0, le=1_000_000, description="Most connections of one client address (IPv6: one /64); 0: no limit."
    )
    edge_rate: float = Field(
        20_000.0,
        ge=0,
        le=1e9,
        description="Most requests/s of one edge process's public listener, where each further record of a "
        "request counts as another request; above it, 429. 0: no limit.",
    )
    edge_client_rate: float = Field(
        100.0,
        ge=0,
        le=1e9,
        description="Most requests and records/s of one client address, in bursts of up to ten seconds' worth; a "
        "larger request gets 413. Mobile carriers put thousands of visitors behind one address: keep it high. "
        "0: no limit.",
    )
    edge_byte_rate: float = Field(
        32.0 * 2**20,
        ge=0,
        le=1e12,
        description="Most inflated bytes/s of one edge process's public listener; above it, 429. 0: no limit.",
    )
    edge_client_byte_rate: float = Field(
        256.0 * 2**10,
        ge=0,
        le=1e12,
        description="Most inflated bytes/s of one client address, in bursts of up to ten seconds' worth; a larger "
        "body gets 413. 0: no limit.",
    )
    edge_tenant_rate: float = Field(
        2_000.0,
        ge=0,
        le=1e9,
        description="Most requests and records/s of one tenant at one edge process's private listener, counted as "
        "for a client address. 0: no limit.",
    )
    edge_tenant_byte_rate: float = Field(
        4.0 * 2**20, ge=0, le=1e12, description="Most inflated bytes/s of one tenant there; 0: no limit."
    )
    edge_trusted_proxies: int = Field(
        0,
        ge=0,
        le=8,
        description="Entries that your proxies append to X-Forwarded-For: the client's address is that many "
        "entries from the end. nginx appends 1, Google's load balancer 2. 0: no proxy, the header is ignored.",
    )
    edge_head_timeout_s: float = Field(
        5.0, gt=0, le=60, description="Most seconds from a request's first byte to the end of its head."
    )
    edge_body_timeout_s: float = Field(
        10.0, gt=0, le=60, description="Most seconds from the end of the head to the end of the body."
    )
    edge_processes: int = Field(
        1, ge=0, le=64, description="Number of edge processes that share the ports; 0: one for each core."
    )
    edge_drain_s: float = Field(
        0,
        ge=0,
        le=300,
        description="Seconds after SIGTERM in which the edge still answers and closes each connection after its "
        "answer. Use 30 behind a load balancer. A second signal ends the edge at once.",
    )
    proxy_topics: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]] = Field(
        [],
        description="JSON list of further topics to which the private listener may produce; their records are not "
        "checked, as in other REST proxies.",
    )
    produce_timeout_s: float = Field(
        8.0, gt=0, le=60, description="Most seconds that the edge waits for the broker's acknowledgement."
    )
    heatmap_bucket_records: int = Field(50_000, ge=1, le=10_000_000, description="Most records of a bucket.")
    heatmap_skew_s: float = Field(1.0, gt=0, le=60, description="Seconds after a bucket's end before a tick closes it.")
    dlq_max_run: int = Field(
        1_000, ge=1, le=10_000_000, description="Number of rejected records in a row that pauses a partition."
    )
    dlq_max_ratio: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of rejected records that pauses a partition, in a bucket or in buckets that have "
        "`LPSTREAM_DLQ_MAX_RUN` records together.",
    )
    worker_metrics_port: Port = Field(
        0, description="Port of a worker's /metrics, /healthz and /readyz; 0: any free port."
    )
    llm_providers: list[LlmProvider] = Field(
        [],
        description="JSON list of providers in order of use: preset, name, base_url, key_variable, fast, high (id,"
        " usd_per_million_input, _output, _cached, _reasoning, options, head_room), concurrency, limit_field,"
        " json_mode, head_room, headers, query, omit. docs/generation.md has the presets.",
    )
    llm_first_token_s: float = Field(
        3.0,
        gt=0,
        le=30,
        description="Seconds to wait for a first token while another provider can be asked, until the usual time of"
        " the model is known.",
    )
    llm_idle_s: float = Field(
        2.0, gt=0, le=30, description="Most seconds of silence within an answer while another provider can be asked."
    )
    llm_silent_s: float = Field(
        5.0, gt=0, le=60, description="Seconds without a token that count as a failure of the provider."
    )
    llm_call_cap_s: float = Field(30.0, gt=0, le=120, description="Longest call (s), for any deadline.")
    llm_breaker_failures: int = Field(
        5, ge=1, le=1_000_000, description="Failures in a row after which a provider's model is not called for a time."
    )
    llm_breaker_open_s: float = Field(
        60.0, gt=0, le=86_400, description="Seconds without calls after that, before a call probes the model."
    )
    llm_hedge_share: float = Field(
        0.1, ge=0, le=1, description="Most second calls beside slow ones, as a share of calls; 0: none."
    )
    copy_fresh_s: int = Field(
        7 * 86_400,
        ge=1,
        le=3_650 * 86_400,
        description="Age in seconds at which cached copy is written again, while it is still served.",
    )
    copy_stale_s: int = Field(
        23 * 86_400, ge=0, le=3_650 * 86_400, description="Seconds after that in which it may be served."
    )
    copy_l1_s: int = Field(600, ge=1, le=86_400, description="Seconds that copy stays in a worker's memory.")
    copy_l1_bytes: int = Field(64 * 2**20, ge=0, le=2**40, description="Most bytes of copy in a worker's memory.")
    lp_at_once: int = Field(
        2_000,
        ge=1,
        le=1_000_000,
        description="Most records of one topic that a generation worker processes concurrently.",
    )
    jpy_per_usd: float = Field(155.0, gt=0, le=1_000_000, description="Exchange rate for the cost of model calls.")
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        "Asia/Tokyo", description="Time zone of the days in `lp_daily`."
    )
    lp_deadline_s: float = Field(10.0, gt=0, le=300, description="Most seconds from a request's record to its page.")
    chromium: str = Field(
        "auto",
        min_length=1,
        description="Chromium for the screenshots of published pages under heatmaps: a path, `auto` (search "
        "PATH), or `off`. Needs the extra `screenshots`.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Format of log lines: `text`, or `json` with an object on each line for a log collector."
    )
    otlp_endpoint: Url | None = Field(
        None,
        description="URL of an OTLP/HTTP collector of traces; unset: no traces. Needs the extra `tracing`. A login "
        "goes into `OTEL_EXPORTER_OTLP_HEADERS`.",
    )
    trace_share: float = Field(
        1.0, ge=0, le=1, description="Share of generation requests to trace, for requests without a `traceparent`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")

    @property
    def page_base_url(self) -> str:
        """The base URL of published pages, without a slash at the end."""
        return self.public_url or f"http://{reachable(self.edge_host)}:{self.edge_port}"

    @property
    def api_base_url(self) -> str:
        """The base URL of the private listener, without a slash at the end."""
        return self.api_url or f"http://{reachable(self.edge_host)}:{self.api_port}"

    @model_validator(mode="after")
    def _without_contradictions(self) -> Self:
        if lines := list(contradictions(self)):
            raise ValueError("\n".join(lines))
        return self


ADDRESSES = ("kafka_bootstrap_servers", "redis_url", "clickhouse_url", "s3_endpoint_url")


def any_address_set() -> bool:
    """Return whether the environment sets a store's address.

    Then `settings.json` and `doors.json` of a running stack are ignored.
    """
    return any(f"{PREFIX}{name.upper()}" in os.environ for name in ADDRESSES)


def load_settings(**overrides: Any) -> Settings:
    """Return the settings. Raise SettingError with a line for each wrong one: name, reason, meaning.

    Log a warning, once a process, for each variable that resembles a setting and is none.
    """
    for line in misspelt(os.environ, Settings.model_fields):
        _warn(line)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_line(item) for item in error.errors(include_url=False, include_input=False)]
        raise SettingError("\n".join(lines)) from error
    except SettingsError as error:
        name = re.search(r'field "(\w+)"', str(error))
        setting = f"{PREFIX}{name.group(1).upper()}" if name else PREFIX + "*"
        raise SettingError(f'{setting}: is not valid JSON; give a JSON list, such as ["…"]') from error


@cache
def _warn(line: str) -> None:
    log.warning(line)


def _line(item: Any) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:  # two settings contradict each other: the message names them
        return message
    name = str(item["loc"][0])
    inside = ".".join(str(part) for part in item["loc"][1:])
    description = Settings.model_fields[name].description if name in Settings.model_fields else ""
    at = f" (at {inside})" if inside else ""
    return f"{PREFIX}{name.upper()}{at}: {message}. {description}".strip()
