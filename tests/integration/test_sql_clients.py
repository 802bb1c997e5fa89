"""Clients of ClickHouse that read the embedded server with their defaults."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import full_only

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.migrate import migrate

CLIENTS = Path(__file__).parents[1] / "sql_clients"
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
QUERY = (
    "SELECT 'ラーメン' AS word, number, ['a', 'b'] AS names, toDateTime('2026-11-29 00:00:00', 'UTC') AS at,"
    " CAST(NULL, 'Nullable(Int32)') AS maybe FROM numbers(3)"
)
ROWS = ["row ラーメン 0", "row ラーメン 1", "row ラーメン 2"]
pytestmark = full_only


@pytest.fixture(scope="module")
def address(url: str) -> str:
    asyncio.run(_migrate(url))
    return url.removeprefix("http://")


async def _migrate(url: str) -> None:
    client = ClickHouse.open(url, "lpstream", "writes", "default")
    await migrate(client, timezone="Asia/Tokyo")
    await client.close()


def output(*command: str, folder: Path | None = None) -> list[str]:
    """Run a command; return its lines. Fail with its errors."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout.splitlines()


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} on the path")


def copied(name: str, folder: Path) -> Path:
    return shutil.copytree(CLIENTS / name, folder / name)


def test_clickhouse_go_reads_with_every_compression(address: str, tmp_path: Path) -> None:
    needs("go")
    program = tmp_path / "reads"
    output("go", "build", "-o", str(program), ".", folder=copied("go", tmp_path))
    lines = output(str(program), address, "reads", QUERY)
    for method in ("none", "lz4", "zstd", "gzip"):
        of_method = [line.removeprefix(f"{method} ") for line in lines if line.startswith(f"{method} ")]
        assert of_method[:3] == [f"{row} [a b] 2026-11-29T00:00:00Z true" for row in ROWS]
        assert of_method[3].startswith("error ") and "code: 47" in of_method[3]
        assert of_method[4:] == ["external 2 [そば]", "session 3"]


def test_the_java_driver_reads_with_its_defaults(address: str, tmp_path: Path) -> None:
    needs("java")
    needs("mvn")
    jars, folder = tmp_path / "jars", copied("java", tmp_path)
    output("mvn", "-q", "-B", COPY_JARS, f"-DoutputDirectory={jars}", folder=folder)
    lines = output("java", "-Xmx256m", "-cp", f"{jars}/*", str(folder / "Reads.java"), address, "reads", QUERY)
    assert [line[: len(row)] for line, row in zip(lines, ROWS, strict=False)] == ROWS
    assert lines[3] == "limited true"
    assert lines[4].startswith("error 47 ")


def test_the_node_client_reads_plain_and_compressed(address: str, tmp_path: Path) -> None:
    needs("npm")
    folder = copied("node", tmp_path)
    output("npm", "install", "--silent", "--no-audit", "--no-fund", "@clickhouse/client@1.23.1", folder=folder)
    lines = output("node", "reads.mjs", address, "reads", QUERY, folder=folder)
    assert lines[:-1] == [*(f"{row} a,b 2026-11-29 00:00:00 true" for row in ROWS), "error 47"] * 2
    assert lines[-1] == 'kept [{"n":1,"word":"そば","threads":1}]'


def test_pandas_arrow_and_sqlalchemy_read(address: str, tmp_path: Path) -> None:
    output(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    packages = ("clickhouse-connect[sqlalchemy]==1.12.0", "pandas==2.3.3", "pyarrow")
    output(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages)
    lines = output(python, str(CLIENTS / "python" / "reads.py"), address, "reads", QUERY)
    assert lines[:9] == ROWS * 3
    assert lines[9].startswith("columns ['lp_id', 'window_start', 'utc_date', 'day'")
    assert "code: 47" in lines[10].lower()
    assert lines[11:] == ["external [(['a', 'b'],)]", "session [(18,)]"]
