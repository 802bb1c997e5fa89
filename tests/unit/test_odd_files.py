"""Files that a command reads, with content of another kind: one message that names option and file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.errors import LpstreamError
from streams.__main__ import app

NOT_JSON = [b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' + b"9" * 5_000 + b"}"]
NOT_TOML = [b"[", b"\xff\xfe\x00", b"a = " + b"[" * 100_000]


def message(*command: str, stdin: bytes = b"") -> str:
    done = CliRunner().invoke(app, list(command), input=stdin)
    assert isinstance(done.exception, LpstreamError), (done.exception, done.output)
    assert "Traceback" not in done.output
    return str(done.exception)


@pytest.mark.parametrize("content", [*NOT_JSON, b"[]", b""])
def test_a_request_that_is_not_json_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(content)
    assert message("request", "--file", str(file)).startswith(f"--file {file}: ")
    assert message("request", "--file", "-", stdin=content).startswith("--file -: ")


@pytest.mark.parametrize("content", NOT_TOML)
def test_a_toml_file_that_is_none_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_bytes(content)
    assert str(file) in message("cost", "--prices", str(file))
    assert str(file) in message("warm", "--file", str(file))


@pytest.mark.parametrize("content", [*NOT_JSON, b"{}", b"[1]"])
def test_an_output_of_another_kind_is_refused_before_the_work(content: bytes, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    figures.write_bytes(content)
    assert message("bench", "--only", "fold", "--out", str(figures)).startswith(f"--out {figures}: ")
    assert figures.read_bytes() == content
    run = tmp_path / "runs" / "normal.json"
    run.parent.mkdir()
    run.write_bytes(b"[]" if content == b"{}" else content)
    assert str(run) in message("verify", "--out", str(tmp_path))


def test_a_query_that_is_not_utf8_is_refused() -> None:
    assert "UTF-8" in message("sql", "SELECT '\udcff'")
    assert "UTF-8" in message("sql", "SELECT {a:String}", "--param", "a=\udcff")


def test_an_output_that_lacks_letters_shows_escapes() -> None:
    for command in ("settings", "request --help"):
        process = [sys.executable, "-m", "streams", *command.split()]
        environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        done = subprocess.run(process, capture_output=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, b""), command


@pytest.mark.parametrize("command", ["settings", "--help"])
def test_a_reader_that_stops_early_is_no_error(command: str) -> None:
    process = [sys.executable, "-m", "streams", command]
    with subprocess.Popen(process, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None and started.stderr is not None
        started.stdout.close()
        assert started.stderr.read() == b""


def test_the_version_is_printed() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output.startswith("lpstream ")) == (0, True)
    assert CliRunner().invoke(app, ["sql", "-h"]).exit_code == 0


def test_figures_of_other_runs_are_kept(tmp_path: Path) -> None:
    from streams.cli.bench import _merge

    figures = tmp_path / "figures.json"
    figures.write_text('[{"id":"a","value":1},{"id":"b","value":1}]', encoding="utf-8")
    _merge(figures, [{"id": "b", "value": 2}])
    assert json.loads(figures.read_text("utf-8")) == [{"id": "a", "value": 1}, {"id": "b", "value": 2}]
