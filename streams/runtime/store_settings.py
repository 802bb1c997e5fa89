"""Settings of the stores: where each is, and how it is reached. `streams/runtime/settings.py` has all the others."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FilePath, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from infra.kafka.access import Brokers, KafkaAccess, Mechanism, Protocol
from infra.redis.line import RedisAccess
from schemas.errors import SettingError

PREFIX = "LPSTREAM_"
LEAST_SECRET = 32


def _url(value: str) -> str:
    parts = urlsplit(value)
    if not parts.scheme or not parts.hostname:
        raise ValueError("give an address such as http://127.0.0.1:8123")
    return value.rstrip("/")


def _without_login(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError("give no login here, for an address is shown in messages; user and password are settings")
    return value


Url = Annotated[str, AfterValidator(_url)]


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `LPSTREAM_<NAME>_FILE` for settings that are secret."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if path is None or field.annotation is not SecretStr:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            raise SettingError(f"{PREFIX}{field_name.upper()}_FILE: {error.strerror}: {path}") from error

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class StoreSettings(BaseSettings):
    """Kafka, Redis, ClickHouse, S3, and the secrets that are kept out of them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kafka_bootstrap_servers: Annotated[
        str, Field(min_length=3, description="Kafka brokers, `host:port`, several with commas.")
    ] = "127.0.0.1:9092"
    broker: Annotated[
        Literal["apache", "tansu"],
        Field(description="What the broker can: `tansu` has no idempotent producer and no LogAppendTime."),
    ] = "apache"
    kafka_protocol: Annotated[
        Protocol,
        Field(description="How the brokers are reached: with TLS (`SSL`), with a login (`SASL_…`), or with both."),
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[Mechanism, Field(description="How a login is made, if the protocol has one.")] = (
        "SCRAM-SHA-512"
    )
    kafka_username: Annotated[str, Field(description="User of the brokers, if the protocol has a login.")] = ""
    kafka_password: Annotated[SecretStr, Field(description="Its password.")] = SecretStr("")
    tls_ca_file: Annotated[
        FilePath | None,
        Field(
            description="Certificates (PEM) that sign those of Kafka, Redis and ClickHouse, where these have TLS; "
            "unset: those of the system."
        ),
    ] = None
    kafka_replication_factor: Annotated[
        int,
        Field(ge=1, le=9, description="Copies of each partition that `migrate` asks for; 3 in production."),
    ] = 1
    kafka_min_insync_replicas: Annotated[
        int,
        Field(ge=1, le=9, description="Copies that must have a record before it counts; 2 in production."),
    ] = 1
    kafka_group_instance_id: Annotated[
        str | None,
        Field(description="Name of this worker in its group (static membership): stable over restarts."),
    ] = None
    redis_url: Annotated[
        Url,
        AfterValidator(_without_login),
        Field(description="Redis: `redis://`, or `rediss://` for TLS. Its password is a setting of its own."),
    ] = "redis://127.0.0.1:6379"
    redis_username: Annotated[str, Field(description="User of Redis; empty: its default user.")] = ""
    redis_password: Annotated[SecretStr, Field(description="Password of Redis; empty: it wants none.")] = SecretStr("")
    studio_secret: Annotated[
        SecretStr,
        Field(
            description="Signs the studio's sessions; the same in every edge, 32 characters or more. Empty: made from "
            "the hashes in the tenants file, so a change of its tokens ends all sessions."
        ),
    ] = SecretStr("")
    clickhouse_url: Annotated[Url, Field(description="ClickHouse's HTTP interface.")] = "http://127.0.0.1:8123"
    clickhouse_user: Annotated[str, Field(description="ClickHouse user that writes.")] = "lpstream"
    clickhouse_password: Annotated[SecretStr, Field(description="Password of the user that writes.")] = SecretStr("")
    clickhouse_replicated: Annotated[
        bool, Field(description="Whether `migrate` makes replicated tables, on a cluster with Keeper.")
    ] = False
    clickhouse_s3_url: Annotated[
        Url | None,
        Field(description="The bucket as ClickHouse reaches it, if not by the S3 endpoint and the bucket's name."),
    ] = None
    clickhouse_analyst_password: Annotated[
        SecretStr,
        Field(description="Password of the read-only user `analyst`; pictures and `sql` read with it."),
    ] = SecretStr("")
    s3_endpoint_url: Annotated[Url | None, Field(description="S3 endpoint; unset means AWS itself by its region.")] = (
        None
    )
    s3_bucket: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Bucket of pages and tiers.")
    ] = "lpstream"
    s3_region: Annotated[str, Field(description="Region of the bucket.")] = "ap-northeast-1"
    s3_access_key_id: Annotated[SecretStr, Field(description="S3 access key; empty: boto3's own search.")] = SecretStr(
        ""
    )
    s3_secret_access_key: Annotated[SecretStr, Field(description="S3 secret key.")] = SecretStr("")

    @property
    def warm_url(self) -> str:
        """The bucket of the tiers as ClickHouse reaches it, with a slash at the end."""
        aws = f"https://{self.s3_bucket}.s3.{self.s3_region}.amazonaws.com"
        own = f"{self.s3_endpoint_url}/{self.s3_bucket}" if self.s3_endpoint_url else aws
        return f"{self.clickhouse_s3_url or own}/"

    @property
    def ca_file(self) -> str | None:
        """The path of `tls_ca_file`."""
        return None if self.tls_ca_file is None else str(self.tls_ca_file)

    @property
    def redis_access(self) -> RedisAccess:
        """How Redis is reached."""
        return RedisAccess(self.redis_username, self.redis_password.get_secret_value(), self.ca_file)

    @model_validator(mode="after")
    def _logins_whole(self) -> Self:
        """Kafka's addresses carry its login from here on."""
        if self.kafka_protocol.startswith("SASL") and not (
            self.kafka_username and self.kafka_password.get_secret_value()
        ):
            raise ValueError(
                f"{PREFIX}KAFKA_USERNAME, {PREFIX}KAFKA_PASSWORD: give both, for {PREFIX}KAFKA_PROTOCOL is "
                f"{self.kafka_protocol}"
            )
        if 0 < len(self.studio_secret.get_secret_value()) < LEAST_SECRET:
            raise ValueError(f"{PREFIX}STUDIO_SECRET: give {LEAST_SECRET} characters or more, made at random")
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
        """Arguments, then the environment, then files that it names."""
        return init_settings, env_settings, SecretFiles(settings_cls)
