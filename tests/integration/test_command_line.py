"""The command line as a subprocess, against a running stack."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import lpstream
from harness import full_only

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = pytest.mark.stack


def test_a_file_in_place_of_a_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = lpstream("up", data=file)
    assert done.returncode == 1 and "Traceback" not in done.stderr and f"--data {file}" in done.stderr


def test_request_prints_the_result_and_saves_the_page(stack: Stack, installation: Installation, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    done = lpstream(
        "request", "--industry", "美容", "--name", "サロン 凪", "--out", str(page), "--json", data=stack.data
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "completed"
    assert "サロン 凪" in page.read_text(encoding="utf-8")


def test_request_reads_a_request_from_standard_input(stack: Stack, installation: Installation) -> None:
    page_request = {"industry": "士業", "purpose": "問い合わせ", "business": {"name": "青空法律事務所"}}
    done = lpstream("request", "--file", "-", data=stack.data, stdin=json.dumps(page_request))
    assert done.returncode == 0 and "completed" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--purpose", ""], "purpose"),
        pytest.param(["--tenant", "other"], "tenant_id", marks=full_only),
        pytest.param(["--file", "no"], "no", marks=full_only),
        (["--out", "/"], "--out"),
    ],
)
def test_request_reports_an_error_in_one_line(
    stack: Stack, installation: Installation, args: list[str], said: str
) -> None:
    done = lpstream("request", *args, data=stack.data)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("lpstream: ") and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_sql_prints_rows_as_json_and_errors_as_a_line(stack: Stack, installation: Installation) -> None:
    done = lpstream("sql", "SELECT 1 AS one, 'ラーメン' AS word", "--json", data=stack.data)
    assert json.loads(done.stdout) == [{"one": 1, "word": "ラーメン"}]
    wrong = lpstream("sql", "SELECT nothing FROM nowhere", data=stack.data)
    assert wrong.returncode == 1 and "nowhere" in wrong.stderr and "Traceback" not in wrong.stderr


def test_migrate_can_run_again(stack: Stack, installation: Installation) -> None:
    done = lpstream("migrate", data=stack.data)
    assert done.returncode == 0 and "0 created" in done.stderr and "nothing new" in done.stderr


def test_a_command_without_a_stack_names_lpstream_up(tmp_path: Path) -> None:
    done = lpstream("sql", "SELECT 1", data=tmp_path)
    assert done.returncode == 1 and "lpstream up" in done.stderr
    (tmp_path / "doors.json").write_text(json.dumps({"services": {"edge": {"pid": 0}}}), encoding="utf-8")
    assert "does not run any more" in lpstream("sql", "SELECT 1", data=tmp_path).stderr


def await_children(process: "subprocess.Popen[bytes]", count: int) -> list[int]:
    """Wait until the process has `count` children; return their ids."""
    for _ in range(600):
        children = children_of(process.pid)
        if len(children) == count:
            return children
        time.sleep(0.1)
    raise AssertionError(f"expected {count} children, there are {children}")


def children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the process has ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


@full_only
def test_worker_all_runs_all_workers_and_stops_on_sigterm(
    stack: Stack, installation: Installation, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "streams", "worker", "all", "--data", str(stack.data)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        children = await_children(process, 3)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    finally:
        process.kill()
    assert not any(Path(f"/proc/{child}").exists() for child in children)
