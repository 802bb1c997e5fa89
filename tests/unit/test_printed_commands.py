"""Commands that messages and `lpstream up` print run as pasted in a new terminal in the same folder."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from command import lpstream

from streams.cli.up import _show_doors
from streams.local.console import DEFAULT_DATA, program

SCRIPT = Path(sys.executable).with_name("lpstream")
DOORS = {"edge": "http://e", "api": "http://a", "token": "t", "clickhouse": "http://analyst:p@127.0.0.1:1"}


def shown(data: Path, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Return the words of each command of `lpstream` that `up` prints."""
    _show_doors(DOORS, data)
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if re.search(r"lpstream'? \w", line)]
    return [words for words in lines if words[0] != "curl"]


@pytest.mark.parametrize("started", [".venv/bin/lpstream", "/a b/lpstream"])
@pytest.mark.parametrize("data", [Path("/data of/mine"), DEFAULT_DATA], ids=["folder", "default"])
def test_up_prints_its_own_path_and_folder(
    started: str, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [started, "up"])
    commands = shown(data, capsys)
    assert [words[:2] for words in commands] == [[started, "request"], [started, "sql"]]
    option = [] if data == DEFAULT_DATA else ["--data", str(data)]
    assert all(words[2 : 2 + len(option)] == option for words in commands)
    assert all(("--data" in words) == bool(option) for words in commands)


def test_a_start_as_a_module_names_the_program_beside_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/streams/__main__.py", "up"])
    assert program() == str(SCRIPT)


def test_a_message_names_a_command_that_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    done = lpstream("sql", "SELECT 1", data=folder)
    (command,) = re.findall(r"`(.*?)`", done.stderr)
    assert shlex.split(command) == [str(SCRIPT), "up", "--data", str(folder)]
    assert shutil.which(SCRIPT) or pytest.skip("the program is not installed here")
