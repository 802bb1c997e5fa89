"""Commands without a running stack name `--data`; outputs that cannot be written are named first."""

import json
import os
from pathlib import Path

import pytest
from command import lpstream
from typer.testing import CliRunner

from schemas.errors import LpstreamError
from streams.__main__ import app

COMMANDS = (
    "env", "edge", "worker heatmap", "worker generation", "worker all", "migrate", "snippet", "request", "warm",
    "sql SELECT+1", "sql --kit daily_trend", "erase --lp x", "erase --tenant x",
    "restore --from 2026-11-01 --to 2026-11-02",
    "rebuild", "dlq ls", "dlq show heatmap.events.dlq", "dlq replay heatmap.events.dlq", "dlq skip heatmap.events 0 1",
    "tier", "tier show", "tier erase --lp-id x",
)  # fmt: skip


OUTPUTS = ("bench --only fold --out", "demo --out", "settings --write", "verify --out", "verify --scenario peak --out")


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_output_that_cannot_be_written_is_named_first(command: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = CliRunner().invoke(app, [*command.split(), str(file / "below")])
    assert isinstance(done.exception, LpstreamError), (done.exception, done.output)
    assert str(done.exception).startswith(f"{command.split()[-1]} {file}") and "nothing was done" in str(done.exception)


@pytest.mark.parametrize("lp_id", ["", "..", "a/b", "../autopilot/demo-a", "demo-a?x=1", "demo-%41", "デモ"])
@pytest.mark.parametrize(
    "command", ["findings", "experiment show", "experiment stop", "experiment start --arm x", "autopilot on"]
)
def test_an_id_that_no_page_can_have_is_named(command: str, lp_id: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), lp_id])
    assert str(done.exception) == f"page {lp_id!r}: is not a valid page id"


def test_a_missing_folder_of_an_output_is_made(tmp_path: Path) -> None:
    page = tmp_path / "new" / "settings.md"
    assert CliRunner().invoke(app, ["settings", "--write", str(page)]).exit_code == 0
    assert "LPSTREAM_" in page.read_text("utf-8")


@pytest.mark.parametrize("stale", [False, True], ids=["never ran", "was killed"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_a_stack_names_data(
    command: str, stale: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if stale:
        (tmp_path / "doors.json").write_text('{"services": {"edge": {"pid": 0}}}', encoding="utf-8")
    words = [word.replace("+", " ") for word in command.split()]
    done = CliRunner().invoke(app, [*words, "--data", str(tmp_path)])
    assert isinstance(done.exception, LpstreamError), (done.exception, done.output)
    assert str(done.exception).startswith(f"--data {tmp_path}: ") and "lpstream up" in str(done.exception)


RUNS = {"services": {"edge": {"pid": os.getpid()}}}
ALL = dict.fromkeys(("edge", "api", "token", "kafka", "clickhouse", "redis", "s3"), "http://127.0.0.1:9") | RUNS
DAMAGED = [
    (b"{", b"{}"), (b"\xff", b"{}"), (b"[1]", b"{}"), (b"[" * 100_000, b"{}"), (b"{}", b"{}"),
    (b'{"services":5}', b"{}"), (b'{"services":{"edge":{"pid":"x"}}}', b"{}"), (json.dumps(RUNS).encode(), b"{}"),
    (json.dumps(ALL).encode(), b"[]"), (json.dumps(ALL).encode(), b'{"LPSTREAM_API_TOKEN":5}'),
]  # fmt: skip


@pytest.mark.parametrize(("doors", "settings"), DAMAGED, ids=range(len(DAMAGED)))  # ids without this process's number
def test_a_damaged_file_of_a_stack_is_named(doors: bytes, settings: bytes, tmp_path: Path) -> None:
    (tmp_path / "doors.json").write_bytes(doors)
    (tmp_path / "settings.json").write_bytes(settings)
    done = CliRunner().invoke(app, ["snippet", "--data", str(tmp_path)])
    assert isinstance(done.exception, LpstreamError), (done.exception, done.output)
    assert str(done.exception).startswith(f"{tmp_path}/") and "lpstream up" in str(done.exception)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = CliRunner().invoke(app, ["env", "--data", str(file)])
    assert isinstance(done.exception, LpstreamError) and "--data" in str(done.exception), done.exception


@pytest.mark.parametrize("command", [("sql", "SELECT 1"), ("dlq", "ls")])
def test_a_store_that_does_not_answer_is_named_in_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    doors = ALL | {"clickhouse": "http://analyst:secret@127.0.0.1:9"}
    (tmp_path / "doors.json").write_text(json.dumps(doors), encoding="utf-8")
    settings = {"LPSTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    (tmp_path / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    done = lpstream(*command, data=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lpstream: ") and "127.0.0.1" in line and len(line) < 200 and "secret" not in line
