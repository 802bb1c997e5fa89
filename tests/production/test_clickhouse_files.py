"""ClickHouse's users, configuration and SQL for a cluster, by the engine's own lists and grammar.

No ClickHouse server runs here. chDB is the same engine: it lists privileges and settings, and parses statements. It has
no users and no cluster, so these tests do not show what servers then do.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from patience import PATIENCE_S
from production_tools import ROOT

from infra.clickhouse.client import GUARANTEED
from infra.clickhouse.migrate import APPLIED, all_statements, statements
from infra.clickhouse.replication import replicated
from infra.tiers.readers import KNOW_STEPS, KNOW_TABLES, READING, READING_ANYWHERE

pytest.importorskip("chdb")

CLICKHOUSE = ROOT / "infra" / "clickhouse"
USERS = {"writer": "lpstream", "analyst": "analyst"}
# sections of the server's configuration that are no plain settings
SECTIONS = {
    "keeper_server", "zookeeper", "macros", "remote_servers", "distributed_ddl", "logger", "prometheus", "query_log",
    "part_log", "merge_tree", "openSSL",
}  # fmt: skip
# names of the configuration that the server reads beside its list of settings
NAMES = {"listen_host", "interserver_http_host", "tcp_port_secure"}
DRIVER_ADDS_S = 5  # clickhouse-go: max_execution_time is the rest of the deadline and 5 s
ASK = """
import json, sys, chdb
answers = []
for statement in json.load(sys.stdin):
    try:
        answers.append(chdb.query(statement, "JSONCompactEachRow").data())
    except Exception as error:
        answers.append("ERROR " + str(error))
print(json.dumps(answers))
"""


def ask(queries: list[str]) -> list[str]:
    """Return the engine's answers. It runs in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    answers: list[str] = json.loads(done.stdout)
    return answers


def parse_all(queries: list[str]) -> dict[str, str]:
    """Return the statements that the engine's parser refuses, with its messages."""
    answers = ask([f"EXPLAIN AST {query}" for query in queries])
    return {query: answer for query, answer in zip(queries, answers, strict=True) if answer.startswith("ERROR")}


@cache
def names(table: str) -> frozenset[str]:
    return frozenset(json.loads(line)[0] for line in ask([f"SELECT name FROM system.{table}"])[0].splitlines())


@cache
def privileges() -> dict[str, tuple[str | None, str | None]]:
    """Return level and parent group of each privilege."""
    rows = ask(["SELECT privilege, level, parent_group FROM system.privileges"])[0].splitlines()
    return {name: (level, group) for name, level, group in map(json.loads, rows)}


def xml(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text("utf-8"))  # noqa: S314 - our own file


def grants(user: str) -> list[str]:
    found = xml(CLICKHOUSE / "users.d" / f"{user}.xml").findall(f"users/{USERS[user]}/grants/query")
    return [str(query.text) for query in found]


def parsed_grants(user: str) -> Iterator[tuple[str, str]]:
    """Yield privilege and target of each grant."""
    for query in grants(user):
        match = re.fullmatch(r"GRANT (.+) ON (\S+)", query)
        assert match is not None, query
        for privilege in match[1].split(","):
            yield privilege.strip(), match[2]


@pytest.mark.parametrize("user", USERS)
def test_the_engine_parses_every_grant(user: str) -> None:
    assert len(grants(user)) >= 4
    assert parse_all([f"{query} TO someone" for query in grants(user)]) == {}


@pytest.mark.parametrize("user", USERS)
def test_every_privilege_is_granted_at_its_level(user: str) -> None:
    targets = {"GLOBAL": r"\*\.\*", "NAMED_COLLECTION": r"\w+", "SOURCE": r"\w+"}
    for privilege, target in parsed_grants(user):
        if privilege == "ALL":
            assert re.fullmatch(r"\w+\.\*", target)
            continue
        assert privilege in privileges(), privilege
        level = privileges()[privilege][0]
        assert re.fullmatch(targets.get(str(level), r"\w+\.(?:\*|\w+)"), target), (privilege, level, target)


def test_an_unknown_privilege_is_detected() -> None:
    assert list(parse_all(["GRANT SYNC ON *.* TO someone"]))
    assert "SYNC" not in privileges()


def test_an_analyst_can_neither_reach_an_address_nor_write() -> None:
    assert {privilege for privilege, _ in parsed_grants("analyst")} == {"SELECT", "SHOW"}
    assert {target for _, target in parsed_grants("analyst")} == {"lpstream.*", "lpstream_warm.*", "lpstream_all.*"}


def sources() -> dict[Path, str]:
    folders = ("infra/clickhouse", "infra/tiers", "streams/tiers", "streams/operate", "streams/heatmap")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".sql")]
    return {file: file.read_text("utf-8") for file in files}


def test_the_writer_may_read_each_system_table_in_its_statements() -> None:
    used = {match for text in sources().values() for match in re.findall(r"\bsystem\.([a-z_]+)", text)}
    granted = {target for privilege, target in parsed_grants("writer") if privilege == "SELECT"}
    assert len(used) >= 5
    assert {f"system.{table}" for table in used} <= granted


def test_the_writer_may_run_each_kind_of_statement() -> None:
    text = "\n".join(sources().values())
    held = set(parsed_grants("writer"))
    needed = {
        "ON CLUSTER": [("CLUSTER", "*.*")],
        "clusterAllReplicas": [("REMOTE", "*.*"), ("CREATE TEMPORARY TABLE", "*.*")],
        "Distributed(": [("REMOTE", "*.*")],
        "ENGINE = S3(": [("S3", "*.*")],
        "NAMED COLLECTION": [("NAMED COLLECTION ADMIN", "lpstream_s3")],
        # of a table, so ALL on its database has it
        "SYSTEM SYNC REPLICA": [("ALL", "lpstream.*")],
        # of a database
        "SYSTEM SYNC DATABASE REPLICA": [("ALL", "lpstream_warm.*")],
    }
    for words, rights in needed.items():
        assert words in text, words
        assert set(rights) <= held, words
    assert privileges()["SYSTEM SYNC REPLICA"] == ("TABLE", "SYSTEM")
    assert privileges()["SYSTEM SYNC DATABASE REPLICA"] == ("DATABASE", "SYSTEM")
    made = set(re.findall(r"CREATE DATABASE IF NOT EXISTS (\w+)", text))
    assert {("ALL", f"{database}.*") for database in made} <= held


@pytest.mark.parametrize("user", USERS)
def test_every_setting_of_a_profile_is_one_of_the_engine(user: str) -> None:
    for profile in xml(CLICKHOUSE / "users.d" / f"{user}.xml").findall("profiles/*"):
        found = {item.tag for item in profile} - {"constraints"} | {
            item.tag for item in profile.findall("constraints/*")
        }
        assert found
        assert found <= names("settings")


def test_every_setting_of_an_insert_is_one_of_the_engine() -> None:
    assert {*GUARANTEED, "insert_deduplication_token", "insert_quorum", "alter_sync", "mutations_sync"} <= names(
        "settings"
    )


@pytest.mark.parametrize("file", ["production.xml", "keeper.xml", "regions.xml"])
def test_the_servers_configuration_has_known_names(file: str) -> None:
    config = xml(CLICKHOUSE / "config.d" / file)
    assert {item.tag for item in config} <= SECTIONS | NAMES | names("server_settings")
    merge_tree = {item.tag for item in config.findall("merge_tree/*")}
    assert merge_tree <= names("merge_tree_settings")


def test_table_settings_are_those_of_the_engine() -> None:
    ddl = "\n".join(file.read_text("utf-8") for file in (CLICKHOUSE / "ddl").glob("*.sql"))
    for text in (ddl, replicated(ddl)):
        settings = {
            name for line in re.findall(r"^SETTINGS (.+)$", text, re.MULTILINE) for name in re.findall(r"(\w+) =", line)
        }
        assert "ttl_only_drop_parts" in settings
        assert settings <= names("merge_tree_settings")


def test_no_file_sets_the_removed_deduplication_hashes() -> None:
    # ClickHouse 26.7 and later refuse to start with another value than new_unified_hash.
    for file in (CLICKHOUSE / "config.d").iterdir():
        assert "insert_deduplication_version" not in file.read_text("utf-8")


def test_the_engine_parses_the_views_over_all_regions() -> None:
    made = statements((CLICKHOUSE / "regions.sql").read_text("utf-8"))
    assert parse_all(made) == {}
    ours = set(re.findall(r"VIEW lpstream\.(\w+)", "\n".join(all_statements("Asia/Tokyo"))))
    over_all = set(re.findall(r"VIEW lpstream_all\.(\w+)", "\n".join(made)))
    assert over_all == {name for name in ours if not name.startswith("tier")}
    assert all("ON CLUSTER '{cluster}'" in statement for statement in made)
    cluster = xml(CLICKHOUSE / "config.d" / "regions.xml").find("remote_servers")
    assert cluster is not None
    assert {item.tag for item in cluster} == set(re.findall(r"Distributed\('(\w+)'", "\n".join(made)))


def test_the_engine_parses_the_statements_of_a_cluster() -> None:
    tables = [
        "CREATE TABLE lpstream.rebuild_heatmap_cells AS lpstream.heatmap_cells",
        "EXCHANGE TABLES lpstream.heatmap_cells AND lpstream.rebuild_heatmap_cells",
        "SYSTEM SYNC REPLICA ON CLUSTER '{cluster}' lpstream.rebuild_heatmap_cells",
        "ALTER TABLE lpstream.heatmap_cells DROP PARTITION ID '20261101-0' SETTINGS alter_sync = 2",
    ]
    cluster = [replicated(statement) for statement in (APPLIED, *all_statements("Asia/Tokyo"))]
    assert parse_all([*cluster, *tables, KNOW_STEPS, KNOW_TABLES, READING, READING_ANYWHERE]) == {}


def test_grafanas_timeout_is_within_the_analysts_limit() -> None:
    file = ROOT / "infra" / "monitoring" / "grafana" / "provisioning" / "datasources" / "lpstream.yaml"
    sources: list[dict[str, Any]] = yaml.safe_load(file.read_text("utf-8"))["datasources"]
    store = next(item for item in sources if item["type"] == "grafana-clickhouse-datasource")
    profile = xml(CLICKHOUSE / "users.d" / "analyst.xml").find("profiles/lpstream_analyst")
    assert profile is not None
    most = int(profile.findtext("constraints/max_execution_time/max", "0"))
    # the plugin's own default is 60
    assert int(store["jsonData"].get("queryTimeout", 60)) + DRIVER_ADDS_S <= most
