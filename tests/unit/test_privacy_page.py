"""docs/privacy.md: every topic and table with its configured retention."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from infra.kafka.topics import TopicSpec, load_topics
from infra.tiers.tables import HOT_TABLES
from streams.runtime.settings import Settings
from streams.tiers.expiry import ages

PAGE = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
DAY_MS = 86_400_000


def row_of(name: str) -> str:
    found = [row for row in ROWS if f"`{name}`" in row.split("|")[1]]
    assert len(found) == 1, name
    return found[0]


def retention(topic: TopicSpec) -> str:
    if topic.config.get("cleanup.policy") == "compact":
        return "compacted"
    kept_ms = int(topic.config["retention.ms"])
    count, unit = (kept_ms // DAY_MS, "day") if kept_ms >= DAY_MS else (kept_ms // 3_600_000, "hour")
    return f"{count} {unit}{'s' if count > 1 else ''}"


@pytest.mark.parametrize("topic", load_topics(), ids=lambda topic: topic.name)
def test_the_page_lists_every_topic_with_its_retention(topic: TopicSpec) -> None:
    assert retention(topic) in row_of(topic.name).split("|")[3]


def test_the_page_lists_every_table_with_its_ttl() -> None:
    ddl = files("infra.clickhouse").joinpath("ddl", "0001_heatmap_tables.sql").read_text("utf-8")
    days = set(re.findall(r"TTL window_start \+ INTERVAL (\d+) DAY DELETE", ddl))
    assert len(days) == 1
    for table in HOT_TABLES:
        assert f"{min(days)} days (TTL)" in row_of(table)
        assert f"moved to S3 after {Settings().tier_hot_days} (`LPSTREAM_TIER_HOT_DAYS`)" in row_of(table)


def test_the_page_lists_the_prefixes_that_end_with_their_age() -> None:
    for prefix, age_s in ages(Settings()).items():
        assert f"{age_s // 86_400} days" in row_of(prefix).split("|")[3]


def test_the_notice_is_in_japanese_and_names_the_data_sent() -> None:
    notice = PAGE.split("## 外部送信規律")[1]
    for word in ("送信される情報", "送信先", "利用目的", "クリック", "スクロール", "お問い合わせ先"):
        assert word in notice
