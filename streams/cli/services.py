"""`lpstream edge`, `worker`, `migrate`: the processes of an installation, by the settings alone."""

import asyncio
from typing import Annotated, Literal

import typer

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.migrate import migrate as apply_ddl
from infra.kafka.topics import ensure_topics
from infra.objects import Objects
from streams.cli.console import say
from streams.settings import Settings, load_settings


def edge() -> None:
    """Run the edge: the public and the private listener."""
    from streams.edge.server import run_edge

    run_edge(load_settings())


def worker(name: Annotated[Literal["heatmap", "generation"], typer.Argument(help="Which worker.")]) -> None:
    """Run a worker of the pipeline."""
    from streams.worker import run_worker

    run_worker(name, load_settings())


def migrate() -> None:
    """Create topics, tables and views; safe to run again."""
    asyncio.run(prepare(load_settings()))


async def prepare(settings: Settings) -> None:
    """Topics, then DDL; says what it did."""
    topics = await ensure_topics(
        settings.kafka_bootstrap_servers,
        replication_factor=settings.kafka_replication_factor,
        min_insync=settings.kafka_min_insync_replicas,
    )
    say(f"topics: {sum(outcome == 'created' for outcome in topics.values())} created, {len(topics)} in all")
    clickhouse = ClickHouse.open(
        settings.clickhouse_url, settings.clickhouse_user, settings.clickhouse_password.get_secret_value(), "default"
    )
    try:
        done = await apply_ddl(clickhouse, timezone=settings.timezone)
    finally:
        await clickhouse.close()
    objects = Objects.open(
        settings.s3_endpoint_url,
        settings.s3_region,
        settings.s3_access_key_id.get_secret_value(),
        settings.s3_secret_access_key.get_secret_value(),
        settings.s3_bucket,
    )
    made = await objects.ensure_bucket()
    say(f"bucket {settings.s3_bucket}: {'created' if made else 'exists'}")
    say(f"tables: {', '.join(done) or 'nothing new'}; views brought up to date")
