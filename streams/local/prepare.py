"""The preparation of an installation: topics, tables, views, bucket and snippet. It is idempotent."""

from collections.abc import Callable
from pathlib import Path

from infra.clickhouse.migrate import migrate
from infra.embedded.kafka import Choice
from infra.embedded.stack import Stack
from infra.kafka.topics import ensure_topics
from streams.edge.site.snippet import Snippet
from streams.runtime.settings import PREFIX, Settings, load_settings
from streams.runtime.stores import open_objects, open_writer, warm_store


async def prepare(settings: Settings, say: Callable[[str], None] = print) -> None:
    """Create missing objects in Kafka, ClickHouse and S3, store the snippet's script, and name them."""
    topics = await ensure_topics(
        settings.kafka_bootstrap_servers,
        replication_factor=settings.kafka_replication_factor,
        min_insync=settings.kafka_min_insync_replicas,
    )
    say(f"topics: {sum(outcome == 'created' for outcome in topics.values())} created, {len(topics)} in all")
    for name, count in topics.partitions.items():
        say(f"topic {name} keeps its {count} partitions; the number in infra/kafka/topics.toml is for new topics")
    clickhouse = open_writer(settings, "default")
    try:
        changes = await migrate(
            clickhouse,
            timezone=settings.timezone,
            warm=warm_store(settings),
            cluster=settings.clickhouse_replicated,
        )
    finally:
        await clickhouse.close()
    objects, snippet = open_objects(settings), Snippet.load()
    created = await objects.ensure_bucket()
    await snippet.store(objects)
    say(f"bucket {settings.s3_bucket}: {'created' if created else 'exists'}; it has the snippet t.{snippet.digest}.js")
    say(f"tables: {', '.join(changes) or 'nothing new'}; views are up to date")


def new_stack(data: Path, kafka: Choice, say: Callable[[str], None], *, kafka_nodes: int = 1) -> Stack:
    """Return a stack that has not started. Raise SettingError if a setting of the environment is wrong."""
    load_settings()
    return Stack(data, kafka, say, kafka_nodes=kafka_nodes)


def settings_of(stack: Stack) -> Settings:
    """Return the settings of a process that uses the stack."""
    return load_settings(**{name.removeprefix(PREFIX).lower(): value for name, value in stack.env().items()})
