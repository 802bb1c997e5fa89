"""DDL for a cluster: every table is replicated, and ClickHouse's parser accepts the statements."""

import re
import subprocess
import sys
from importlib.resources import files

import pytest
from patience import PATIENCE_S

from infra.clickhouse.migrate import APPLIED, all_statements
from infra.clickhouse.replication import replicated

DDL = all_statements("Asia/Tokyo")
PARSE = """
import json, sys, chdb
for statement in json.load(sys.stdin):
    chdb.query("EXPLAIN AST " + statement, "TabSeparated")
print("parsed")
"""


def test_row_tables_are_replicated_with_a_deduplication_window() -> None:
    changed = [replicated(statement) for statement in (APPLIED, *DDL)]
    engines = re.findall(r"ENGINE = (\w*MergeTree)", "\n".join(changed))
    assert len(engines) == 9 and all(engine.startswith("Replicated") for engine in engines)
    assert not any("non_replicated" in statement for statement in changed)
    assert sum("replicated_deduplication_window = " in statement for statement in changed) == 8


def test_replicated_tables_keep_insert_tokens_for_a_week() -> None:
    # The server's default is an hour: a worker that was down longer would insert its last bucket twice.
    windows = [replicated(statement) for statement in DDL if "deduplication_window = " in statement]
    assert len(windows) == 8
    for statement in windows:
        assert statement.count(f"replicated_deduplication_window_seconds = {7 * 86_400}") == 1


def test_databases_are_created_on_every_replica() -> None:
    made = [replicated(statement) for statement in DDL if statement.startswith("CREATE DATABASE")]
    assert len(made) == 2
    assert all("ON CLUSTER '{cluster}' ENGINE = Replicated(" in statement for statement in made)


def test_views_and_merge_tables_are_unchanged() -> None:
    same = [statement for statement in DDL if "VIEW" in statement or "ENGINE = Merge(" in statement]
    assert len(same) > 10
    assert [replicated(statement) for statement in same] == same


def test_clickhouse_parses_the_replicated_ddl() -> None:
    pytest.importorskip("chdb")
    import json

    statements_json = json.dumps([replicated(statement) for statement in DDL])
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        input=statements_json,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.stdout.strip() == "parsed", done.stderr[-2000:]


def test_the_regions_views_match_the_analysts_views() -> None:
    text = files("infra.clickhouse").joinpath("regions.sql").read_text("utf-8")
    over = set(re.findall(r"Distributed\('lpstream_regions', 'lpstream', '(\w+)'\)", text))
    assert over == set(re.findall(r"VIEW lpstream_all\.(\w+) ", text))
    own = {name for one in DDL if (name := "".join(re.findall(r"VIEW lpstream\.(\w+)", one)))}
    assert over == {name for name in own if not name.startswith(("tier", "warm"))}
