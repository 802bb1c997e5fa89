"""Numbers, routes and names in the pages are those of the code and of the manifests."""

import gzip
import re
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from infra.clickhouse.kit import kit
from infra.embedded.clickhouse_server import allowed, server, sessions
from processors.heatmap.tallies import TABLES
from processors.pages.designs import DESIGNS
from processors.pages.words import kinds
from streams.edge.routes import PRIVATE, PUBLIC, STUDIO, Route
from streams.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text("utf-8") for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
WORDS = {"five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twenty-four": 24, "twenty-five": 25}
VIEWS = re.findall(r"VIEW lpstream_all\.(\w+)", (ROOT / "infra/clickhouse/regions.sql").read_text("utf-8"))
TOPICS = tomllib.loads((ROOT / "infra" / "kafka" / "topics.toml").read_text("utf-8"))["topic"]
SNIPPET = (ROOT / "streams" / "edge" / "static" / "t.js").read_bytes()
COUNTS = (
    ("README.md", r"all (\S+) tables", len(TABLES)),
    ("README.md", r"(\d+) worked queries", len(kit())),
    ("README.md", r"(\S+) views hold all days", len(VIEWS)),
    ("architecture.md", r"all (\S+) tables", len(TABLES)),
    ("guarantees.md", r"all (\S+) tables", len(TABLES)),
    ("edge.md", r"all (\S+) tables", len(TABLES)),
    ("edge.md", r"minified \| ([\d,]+) bytes", len(SNIPPET)),
    ("edge.md", r"gzipped \| ([\d,]+) bytes", len(gzip.compress(SNIPPET, 9))),
    ("production.md", r"each of the (\S+) tables", len(TABLES)),
    ("sql.md", r"(\S+) queries, each a file", len(kit())),
    ("pages.md", r"the (\S+) designs", len(DESIGNS)),
    ("pages.md", r"(\d+) kinds of shops", len(kinds())),
)


@pytest.mark.parametrize(("page", "pattern", "count"), COUNTS)
def test_a_page_counts_right(page: str, pattern: str, count: int) -> None:
    shown = re.findall(pattern, PAGES[page])
    assert shown, "the page does not say so any more: change the list of this test"
    for each in shown:
        assert (WORDS.get(each.lower()) or int(each.replace(",", ""))) == count, each


def test_the_readme_has_under_900_words() -> None:
    assert len(PAGES["README.md"].split()) < 900


@pytest.mark.parametrize("page", ["README.md", "production.md"])
def test_a_repeated_result_is_that_of_the_guarantees(page: str) -> None:
    text = " ".join(PAGES[page].split())
    results = re.findall(r"([\d,]+) events acknowledged, ([\d,]+) counted", text)
    assert results
    for acknowledged, counted in results:
        assert f"| {acknowledged} | {counted} |" in PAGES["guarantees.md"]


@pytest.mark.parametrize(("listener", "routes"), [("Public", PUBLIC), ("Private", PRIVATE), ("Studio", STUDIO)])
def test_the_edges_page_names_all_routes(listener: str, routes: list[Route]) -> None:
    section = PAGES["edge.md"].split("## Routes")[1].split("\n## ")[0]
    part = section.split(f"**{listener}")[1].split("\n**")[0]
    assert set(re.findall(r"`([A-Z]+ /\S*)`", part)) == {f"{route.method} {route.template}" for route in routes}


def test_the_page_of_the_logs_size_has_all_topics() -> None:
    section = PAGES["production.md"].split("### What the log may take")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([\w.-]+)`", section, re.MULTILINE)) == {topic["name"] for topic in TOPICS}


def analyst(path: str) -> str:
    """Return a number of the users file of analysts, with commas."""
    text = (ROOT / "infra/clickhouse/users.d/analyst.xml").read_text("utf-8")
    found = ElementTree.fromstring(text).findtext(path)  # noqa: S314 - our own file
    assert found
    return f"{int(found):,}"


def test_the_limits_of_an_analyst_are_those_of_both_servers() -> None:
    rows = [
        row.strip("| ").split(" | ") for row in PAGES["SECURITY.md"].split("| limit of an analyst |")[1].splitlines()
    ]
    limits = {row[0]: row[1:] for row in rows if len(row) == 3}
    of_server = {
        name: analyst(f"profiles/lpstream_analyst/{name}") for name in allowed.LIMITS if name != "max_block_size"
    }
    longest = analyst("profiles/lpstream_analyst/constraints/max_execution_time/max")
    every_hour = {
        name: analyst(f"quotas/lpstream_analyst/interval/{name}")
        for name in ("queries", "errors", "result_rows", "read_rows", "execution_time")
    }
    own = {name: f"{limit:,}" for name, limit in (allowed.LIMITS | allowed.HIGHEST).items()}
    waiting = server.ANALYST_QUERIES - server.ANALYST_THREADS
    assert own["max_execution_time"] == longest
    expected = {
        "time": [f"{of_server['max_execution_time']} s; up to {longest} s if the query asks", "the same"],
        "result": [f"{own['max_result_rows']} rows, {allowed.LIMITS['max_result_bytes'] >> 20} MiB", "the same"],
        "read": [f"{own['max_rows_to_read']} rows, {allowed.LIMITS['max_bytes_to_read'] // 10**9} GB", "the same"],
        "memory of a query": [
            f"{allowed.LIMITS['max_memory_usage'] // 10**9} GB",
            f"{gigabytes('max_memory_usage')}; all queries of the user {gigabytes('max_memory_usage_for_user')}",
        ],
        "data of a query on disk": [
            "not bounded", gigabytes("max_temporary_data_on_disk_size_for_query")
        ],
        "at the same time": [
            f"{server.ANALYST_THREADS} run, {waiting} more wait up to {server.PATIENCE_S:g} s",
            f"{analyst('profiles/lpstream_analyst/max_concurrent_queries_for_user')} run",
        ],
        "in an hour": [
            "not bounded",
            "{queries} queries, {errors} errors, {result_rows} rows of results, {read_rows} rows read, "
            "{execution_time} s".format(**every_hour),
        ],
        "threads of a query": ["the machine's processors", of_server["max_threads"]],
    }  # fmt: skip
    assert {name: limits[name] for name in expected} == expected
    assert limits["statement with its parameters"][0] == f"{server.MAX_STATEMENT >> 10} KiB"
    assert limits["body with data"][0] == f"{server.MAX_DATA >> 20} MiB, also inflated"
    of_sessions = (
        f"{sessions.MOST_BYTES >> 20} MiB, {sessions.MOST_TABLES} tables; {sessions.MOST_WITH_TABLES} sessions"
    )
    assert limits["temporary tables of a session"][0] == of_sessions
    assert limits["sessions"][0] == f"{sessions.MOST_SESSIONS:,}, of {sessions.LONGEST_S:,} s at most"
    assert re.findall(r"A query may run for (\d+) s \((\d+) s", PAGES["sql.md"]) == [
        (of_server["max_execution_time"], longest)
    ]


def gigabytes(name: str) -> str:
    """Return a limit of the users file in GB."""
    return f"{int(analyst(f'profiles/lpstream_analyst/{name}').replace(',', '')) // 10**9} GB"


SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "Service": "svc", "ScaledObject": "hpa"}


def manifests() -> list[dict[str, Any]]:
    """Return the workloads, services and autoscalers of the base of all overlays."""
    paths = (ROOT / "infra" / "kubernetes" / "base").glob("*.yaml")
    items = [item for path in paths for item in yaml.safe_load_all(path.read_text("utf-8"))]
    return [item for item in items if isinstance(item, dict) and item.get("kind") in SHORT]


def named(item: dict[str, Any]) -> str:
    """Return the object as an argument of kubectl: KEDA adds `keda-hpa-` to the name of a ScaledObject."""
    name = item["metadata"]["name"]
    return f"hpa keda-hpa-{name}" if item["kind"] == "ScaledObject" else f"{SHORT[item['kind']]}/{name}"


def test_the_runbooks_name_objects_of_the_manifests() -> None:
    shown = re.findall(r"\b(?:(?:deploy|sts|svc)/|hpa )[a-z-]+", PAGES["runbooks.md"])
    assert len(shown) > 3
    assert set(shown) <= {named(item) for item in manifests()}


def test_a_release_restarts_all_services_of_the_image() -> None:
    restarted = re.search(r"rollout restart (.*)", PAGES["production.md"])
    assert restarted
    workloads = [
        item
        for item in manifests()
        if item["kind"] in ("Deployment", "StatefulSet") and item["spec"].get("replicas") != 0
    ]
    ours = [
        item
        for item in workloads
        if any(each["image"].startswith("lpstream") for each in item["spec"]["template"]["spec"]["containers"])
    ]
    assert set(restarted[1].split()) == {named(item) for item in ours}


def test_the_runbooks_name_keys_of_secrets() -> None:
    keys = re.findall(r"key `(\w+)` of the secret `([\w-]+)`", PAGES["runbooks.md"])
    secrets = re.findall(r"secret `([\w-]+)`", PAGES["runbooks.md"])
    assert len(keys) == len(secrets) > 0
    for key, secret in keys:
        assert re.search(rf"create secret generic {secret} .*--from-file={key}\b", PAGES["production.md"])


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_page_names_settings_that_exist(page: str) -> None:
    known = {f"LPSTREAM_{name.upper()}" for name in Settings.model_fields}
    others = re.compile(r"LPSTREAM_(?:TEST_|CONFORMANCE_|GUARANTEES|WRITER_SHA256|ANALYST_SHA256|\w+_FILE$)")
    named = set(re.findall(r"`(LPSTREAM_[A-Z0-9_]+[A-Z0-9])(?:=[^`]*)?`", PAGES[page]))
    assert [name for name in sorted(named) if name not in known and not others.match(name)] == []
