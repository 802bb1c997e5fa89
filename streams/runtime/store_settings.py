"""The settings of the stores: addresses, logins, TLS. `streams/runtime/settings.py` has all others."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FilePath, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from infra.kafka.access import Brokers, KafkaAccess, Mechanism, Protocol
from infra.redis.access import RedisAccess
from schemas.errors import SettingError

PREFIX = "LPSTREAM_"
LEAST_SECRET = 32


def _url(example: str, *schemes: str) -> Callable[[str], str]:
    """Return a check of a URL's scheme, host and port. `example` is for the message."""

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            is_valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:  # the port is no number
            is_valid = False
        if not is_valid:
            raise ValueError(f"give an address with {' or '.join(f'{each}://' for each in schemes)}, such as {example}")
        return value.rstrip("/")

    return check


def _brokers(value: str) -> str:
    if not all(BROKER.fullmatch(part.strip()) for part in value.split(",")):
        raise ValueError("give host:port, or several with commas between, without a scheme")
    return value


def _without_login(value: str) -> str:
    if "@" in value or LOGIN.search(value):
        raise ValueError("give no login here: messages show the address; set user and password in their own settings")
    return value


BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
LOGIN = re.compile(r"[?&;](?:user|username|password)=", re.IGNORECASE)
Url = Annotated[str, AfterValidator(_url("http://127.0.0.1:8123", "http", "https"))]
OpenUrl = Annotated[Url, AfterValidator(_without_login)]
RedisUrl = Annotated[str, AfterValidator(_url("redis://127.0.0.1:6379", "redis", "rediss"))]


class SecretFiles(PydanticBaseSettingsSource):
    """A source of settings that reads `LPSTREAM_<NAME>_FILE` for secret settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if path is None or field.annotation is not SecretStr:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            raise SettingError(f"{PREFIX}{field_name.upper()}_FILE: {error.strerror}: {path}") from error
        except UnicodeDecodeError as error:
            raise SettingError(f"{PREFIX}{field_name.upper()}_FILE: is not UTF-8: {path}") from error

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class StoreSettings(BaseSettings):
    """The settings of Kafka, Redis, ClickHouse, S3, and the secret of the studio."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_brokers)] = Field(
        "127.0.0.1:9092", description="Kafka brokers as `host:port`, separated by commas."
    )
    broker: Literal["apache", "tansu"] = Field(
        "apache", description="Kind of broker: `tansu` has no idempotent producer and no LogAppendTime."
    )
    kafka_protocol: Protocol = Field(
        "PLAINTEXT",
        description="Protocol of the brokers: with TLS (`SSL`), with a login (`SASL_…`), or both (`SASL_SSL`).",
    )
    kafka_sasl_mechanism: Mechanism = Field(
        "SCRAM-SHA-512", description="SASL mechanism of the login, if the protocol has one."
    )
    kafka_username: str = Field("", description="User of the brokers, if the protocol has a login.")
    kafka_password: SecretStr = Field(SecretStr(""), description="Password of that user.")
    tls_ca_file: FilePath | None = Field(
        None,
        description="File of CA certificates (PEM) for the TLS of Kafka, Redis and ClickHouse; unset: the system's "
        "certificates.",
    )
    kafka_replication_factor: int = Field(
        1, ge=1, le=9, description="Copies of each partition that `migrate` creates; 3 in production."
    )
    kafka_min_insync_replicas: int = Field(
        1, ge=1, le=9, description="Copies that must have a record before it is acknowledged; 2 in production."
    )
    kafka_group_instance_id: str | None = Field(
        None, description="Unique name of this worker in its group (static membership), the same after a restart."
    )
    redis_url: Annotated[RedisUrl, AfterValidator(_without_login)] = Field(
        "redis://127.0.0.1:6379",
        description="URL of Redis: `redis://`, or `rediss://` for TLS. The password is another setting.",
    )
    redis_username: str = Field("", description="User of Redis; empty: the default user.")
    redis_password: SecretStr = Field(SecretStr(""), description="Password of Redis; empty: no password.")
    studio_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that signs the studio's sessions: at least 32 characters, the same for every edge. "
        "Empty: derived from the hashes in the tenants file, so a change of its tokens ends all sessions.",
    )
    clickhouse_url: OpenUrl = Field("http://127.0.0.1:8123", description="URL of ClickHouse's HTTP interface.")
    clickhouse_user: str = Field("lpstream", description="ClickHouse user that writes.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="Password of the user that writes.")
    clickhouse_replicated: bool = Field(
        False, description="Whether `migrate` creates replicated tables, on a cluster with Keeper."
    )
    clickhouse_s3_url: OpenUrl | None = Field(
        None, description="URL of the bucket for ClickHouse; unset: the S3 endpoint and the bucket's name."
    )
    clickhouse_analyst_password: SecretStr = Field(
        SecretStr(""), description="Password of the read-only user `analyst`, which pictures and `sql` use."
    )
    s3_endpoint_url: OpenUrl | None = Field(None, description="URL of the S3 endpoint; unset: AWS, by the region.")
    s3_bucket: str = Field(
        "lpstream", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Bucket of pages and tiers."
    )
    s3_region: str = Field("ap-northeast-1", description="Region of the bucket.")
    s3_access_key_id: SecretStr = Field(SecretStr(""), description="S3 access key; empty: boto3 searches for it.")
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="S3 secret key.")

    @property
    def warm_url(self) -> str:
        """The URL of the tiers' bucket for ClickHouse, with a slash at the end."""
        aws = f"https://{self.s3_bucket}.s3.{self.s3_region}.amazonaws.com"
        own = f"{self.s3_endpoint_url}/{self.s3_bucket}" if self.s3_endpoint_url else aws
        return f"{self.clickhouse_s3_url or own}/"

    @property
    def ca_file(self) -> str | None:
        """The path of `tls_ca_file`."""
        return None if self.tls_ca_file is None else str(self.tls_ca_file)

    @property
    def redis_access(self) -> RedisAccess:
        """The login and TLS of Redis."""
        return RedisAccess(self.redis_username, self.redis_password.get_secret_value(), self.ca_file)

    @model_validator(mode="after")
    def _logins_whole(self) -> Self:
        """Check the logins, and add Kafka's login to its addresses."""
        if self.kafka_protocol.startswith("SASL") and not (
            self.kafka_username and self.kafka_password.get_secret_value()
        ):
            raise ValueError(
                f"{PREFIX}KAFKA_USERNAME, {PREFIX}KAFKA_PASSWORD: give both, because {PREFIX}KAFKA_PROTOCOL is "
                f"{self.kafka_protocol}"
            )
        if 0 < len(self.studio_secret.get_secret_value()) < LEAST_SECRET:
            raise ValueError(f"{PREFIX}STUDIO_SECRET: give at least {LEAST_SECRET} random characters")
        access = KafkaAccess(
            self.kafka_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_username,
            self.kafka_password.get_secret_value(),
            self.ca_file,
        )
        self.__dict__["kafka_bootstrap_servers"] = Brokers(self.kafka_bootstrap_servers, access)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order: arguments, the environment, the files that it names."""
        return init_settings, env_settings, SecretFiles(settings_cls)
