"""`--help` prints help and does nothing else, for every command, program and script."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from patience import PATIENCE_S
from typer.testing import CliRunner

from streams.__main__ import COMMANDS, app

ROOT = Path(__file__).parents[2]
PROGRAMS = (
    "streams.proof.doc_pictures",
    "streams.proof.documents",
    "streams.proof.pictures",
    "streams.proof.provider.profile_table",
)
SCRIPTS = (ROOT / "infra" / "compose" / "prepare",)


def commands() -> list[list[str]]:
    """Return all commands, with those of groups."""
    group: Any = typer.main.get_command(app)
    found = []
    for name in COMMANDS:
        command = group.get_command(None, name)
        found += [[name]] + [[name, inner] for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_commands_help_only_prints(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*command, "--help"])
    assert done.exit_code == 0 and "Usage:" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_each_commands_own_words(name: str) -> None:
    group: Any = typer.main.get_command(app)
    first = group.get_command(None, name).help.split("\n\n")[0].replace("\n", " ")
    assert COMMANDS[name][1] == first, "correct the line in streams/__main__.py"


def test_the_list_of_commands_imports_no_command() -> None:
    code = "import sys; from typer.testing import CliRunner; from streams.__main__ import app; "
    code += "CliRunner().invoke(app, ['--help']); print([name for name in sys.modules if name.startswith('streams.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "['streams.__main__']"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_programs_help_only_prints(program: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "docs").iterdir()}
    done = subprocess.run([sys.executable, "-m", program, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout.startswith("usage:")
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "docs").iterdir()} == before


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--no-such", 2)])
def test_a_scripts_help_only_prints(script: Path, argument: str, code: int, tmp_path: Path) -> None:
    copy = tmp_path / "inner" / script.name
    copy.parent.mkdir()
    copy.write_text(script.read_text("utf-8"), encoding="utf-8")
    done = subprocess.run(
        ["bash", str(copy), argument], capture_output=True, text=True, timeout=PATIENCE_S, cwd=tmp_path
    )
    assert done.returncode == code and done.stdout.strip()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [copy]
