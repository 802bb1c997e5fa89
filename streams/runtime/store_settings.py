"""The settings of the stores: addresses, logins, TLS. `streams/runtime/settings.py` has all others."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from infra.kafka.access import Brokers, KafkaAccess, Mechanism, Protocol
from infra.redis.access import RedisAccess
from schemas.errors import SettingError
from streams.runtime.addresses import HOST, is_host, is_port

PREFIX = "LPSTREAM_"


def _url(example: str, *schemes: str, path: str = r"(?:/[%+./:@\w~-]*)?", login: bool = False) -> Callable[[str], str]:
    """Return a check of a URL, which returns it with scheme and host in lower case.

    `example` is for the message.

    `login`: whether it may have one, because there is no setting for user and password.
    """
    url = re.compile(rf"({'|'.join(schemes)})://({LOGIN})({HOST})(?::(\d+))?({path})", re.ASCII | re.IGNORECASE)

    def check(value: str) -> str:
        match = url.fullmatch(value)
        if match is None or not is_host(match[3]) or not (match[4] is None or is_port(match[4])):
            raise ValueError(
                f"give an address with {' or '.join(f'{each}://' for each in schemes)}, such as {example}: a host of "
                "ASCII letters, perhaps a port and a path, without query, fragment and spaces"
            )
        scheme, user, host, port, rest = match.groups()
        if user and not login:
            raise ValueError("give no login here: messages show the address; user and password have other settings")
        return f"{scheme.lower()}://{user}{host.lower()}{f':{port}' if port else ''}{rest.rstrip('/')}"

    return check


def _brokers(value: str) -> str:
    for part in value.split(","):
        match = BROKER.fullmatch(part.strip())
        if match is None or not is_host(match[1]) or not (match[2] is None or is_port(match[2])):
            raise ValueError("give host:port, or several with commas between, without a scheme")
    return value


def _file(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}; give the path of a file") from error
    return path


def _bucket(value: str) -> str:
    if not 3 <= len(value) <= 63 or not BUCKET.fullmatch(value) or IPV4.fullmatch(value):
        raise ValueError("give 3 to 63 lower-case letters, digits, dashes and single dots between them, as S3 demands")
    return value


LOGIN = r"(?:[^\s@/?#\"'<>\\]*@)?"
BROKER = re.compile(rf"({HOST})(?::(\d+))?", re.ASCII)
BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
DEFAULT_PORT = re.compile(r"(?<=^http:)(//[^/]+):80(?=/|$)|(?<=^https:)(//[^/]+):443(?=/|$)")
Url = Annotated[str, AfterValidator(_url("http://127.0.0.1:8123", "http", "https"))]
# as browsers write it in `Origin` and `Host`
SiteUrl = Annotated[
    str,
    AfterValidator(_url("https://lp.example.com", "http", "https")),
    AfterValidator(lambda value: DEFAULT_PORT.sub(r"\1\2", value)),
]
UrlWithLogin = Annotated[str, AfterValidator(_url("http://127.0.0.1:8081", "http", "https", login=True))]
RedisUrl = Annotated[str, AfterValidator(_url("redis://127.0.0.1:6379", "redis", "rediss", path=r"(?:/\d{0,4})?"))]


class SecretFiles(PydanticBaseSettingsSource):
    """A source of settings that reads `LPSTREAM_<NAME>_FILE` for secret settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = f"{PREFIX}{field_name.upper()}_FILE"
        path = os.environ.get(name)
        if path is None or field.annotation is not SecretStr:
            return None, field_name, False
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingError(f"{name}: {error.strerror}: {path}") from error
        except UnicodeDecodeError as error:
            raise SettingError(f"{name}: is not UTF-8: {path}") from error
        if not secret:  # a secret that was never written must not turn a login off
            raise SettingError(f"{name}: {path} is empty; write the secret into it, or unset {name}")
        return secret, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class Environment(EnvSettingsSource):
    """The variables of the environment. JSON that is nested too deeply is an error of its setting."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Return the value of a JSON text. Raise ValueError if it is none."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except RecursionError as error:
            raise ValueError("is nested too deeply") from error


class StoreSettings(BaseSettings):
    """The settings of Kafka, Redis, ClickHouse, S3, and the secret of the studio."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", allow_inf_nan=False)

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
    tls_ca_file: Annotated[Path, AfterValidator(_file)] | None = Field(
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
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Unique name of this worker in its group (static membership), the same after a restart.",
    )
    redis_url: RedisUrl = Field(
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
    clickhouse_url: Url = Field("http://127.0.0.1:8123", description="URL of ClickHouse's HTTP interface.")
    clickhouse_user: str = Field("lpstream", description="ClickHouse user that writes.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="Password of the user that writes.")
    clickhouse_replicated: bool = Field(
        False, description="Whether `migrate` creates replicated tables, on a cluster with Keeper."
    )
    clickhouse_s3_url: Url | None = Field(
        None, description="URL of the bucket for ClickHouse; unset: the S3 endpoint and the bucket's name."
    )
    clickhouse_analyst_password: SecretStr = Field(
        SecretStr(""), description="Password of the read-only user `analyst`, which pictures and `sql` use."
    )
    s3_endpoint_url: Url | None = Field(None, description="URL of the S3 endpoint; unset: AWS, by the region.")
    s3_bucket: Annotated[str, AfterValidator(_bucket)] = Field("lpstream", description="Bucket of pages and tiers.")
    s3_region: str = Field("ap-northeast-1", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Region of the bucket.")
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
    def _brokers_with_login(self) -> Self:
        """Add Kafka's login to its addresses."""
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
        return init_settings, Environment(settings_cls), SecretFiles(settings_cls)
