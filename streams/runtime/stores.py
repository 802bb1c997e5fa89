"""The clients of an installation's stores, built from its settings: ClickHouse, Redis, S3.

No client connects here: each connects at its first call. SettingError names a setting that cannot be used.
"""

from infra.clickhouse.client import ANSWER_TIMEOUT_S, ClickHouse
from infra.clickhouse.migrate import WarmStore
from infra.redis.line import PATIENCE_S, RedisLine, open_redis
from infra.s3.objects import Objects
from infra.schema_registry import ConfluentRegistry
from infra.tiers.archive import Archive
from infra.writer_schemas import WriterSchemas
from schemas.errors import SettingError
from streams.runtime.settings import PREFIX, Settings


def open_writer(
    settings: Settings, database: str = "lpstream", *, answer_timeout_s: float = ANSWER_TIMEOUT_S
) -> ClickHouse:
    """Return a client of ClickHouse for the user that writes."""
    return ClickHouse.open(
        settings.clickhouse_url,
        settings.clickhouse_user,
        settings.clickhouse_password.get_secret_value(),
        database,
        answer_timeout_s=answer_timeout_s,
        ca_file=settings.ca_file,
    )


def open_analyst(settings: Settings) -> ClickHouse:
    """Return a client of ClickHouse for the read-only user."""
    password = settings.clickhouse_analyst_password.get_secret_value()
    return ClickHouse.open(settings.clickhouse_url, "analyst", password, ca_file=settings.ca_file)


def open_writers(settings: Settings, *, limited: bool = True) -> WriterSchemas:
    """Return the schemas of programs that write framed Avro, from the schema registry if there is one.

    `limited`: see `WriterSchemas`. Tools of an operator have no limit, because no client can start them.
    """
    url = settings.schema_registry_url
    return WriterSchemas(None if url is None else ConfluentRegistry(url), limited=limited)


def open_line(settings: Settings, *, patience_s: float = PATIENCE_S, socket_s: float | None = None) -> RedisLine:
    """Return a client of Redis. Its calls fail after `patience_s` seconds without an answer.

    `socket_s` is for calls of its `redis` that do not go through the line. With it, a call through the line may take
    longer: before Python 3.12 `asyncio.wait_for`, by which redis-py limits a write, can miss a cancellation.
    """
    try:
        redis = open_redis(settings.redis_url, settings.redis_access, socket_s=socket_s)
    except ValueError as error:
        raise SettingError(f"{PREFIX}REDIS_URL: {error}") from error
    return RedisLine(redis, patience_s=patience_s)


def open_objects(settings: Settings) -> Objects:
    """Return a client of the S3 bucket for pages, their files and copy."""
    try:
        return Objects.open(*_bucket(settings))
    except ValueError as error:
        raise _no_keys(error) from error


def open_archive(settings: Settings) -> Archive:
    """Return a client of the same bucket for the tiers."""
    try:
        return Archive.open(*_bucket(settings))
    except ValueError as error:
        raise _no_keys(error) from error


def warm_store(settings: Settings) -> WarmStore:
    """Return the URL and keys by which ClickHouse reaches the bucket."""
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return WarmStore(settings.warm_url, key.get_secret_value(), secret.get_secret_value())


def _bucket(settings: Settings) -> tuple[str | None, str, str, str, str]:
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    endpoint, region = settings.s3_endpoint_url, settings.s3_region
    return endpoint, region, key.get_secret_value(), secret.get_secret_value(), settings.s3_bucket


def _no_keys(error: ValueError) -> SettingError:
    return SettingError(
        f"{PREFIX}S3_ACCESS_KEY_ID: no keys for S3 were found ({error}); set this and {PREFIX}S3_SECRET_ACCESS_KEY, or "
        "give boto3 a role or a profile"
    )
