"""Every `lpstream` command that README and docs show is one that the command line accepts."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.__main__ import COMMANDS, app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# not `kubectl -n lpstream …`, which names the namespace
SHOWN = re.compile(r"(?<!-n )(?:^|(?<=[`\s(/]))lpstream ([a-z][a-z-]*(?![\w=-])(?:\s[^`\n|#]*)?)")
# words in capitals stand for values; a command takes these in their place
VALUES = {"TOPIC": "heatmap.events", "PARTITION": "0", "OFFSET": "1", "NAME": "normal", "N": "1", "DAY": "2026-11-10"}
# how a command ends where it is shown in a shell
ENDS = {"&&", "|", ">", ">>", "2>&1", "&", ";"}


def shown(text: str) -> set[str]:
    """The commands of a page: in code blocks and between backticks."""
    blocks = [line for line in text.splitlines() if line.startswith(("    ", "\t"))]
    inline = re.findall(r"`(?:\.venv/bin/)?(lpstream [a-z][^`]*)`", text)
    fenced = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", text, re.DOTALL)
    lines = [*blocks, *inline, *(line for block in fenced for line in block.splitlines())]
    return {match[1].strip() for line in lines for match in SHOWN.finditer(line)}


def arguments(command: str) -> list[str]:
    words = []
    for word in shlex.split(command, comments=True):
        if word in ENDS or word.startswith((">", "$(")):
            break
        words.append(VALUES.get(word, word))
    return words


def parse(words: list[str]) -> None:
    """Find the command that the words name, and fail on a name or an option that it does not have."""
    command: Any = typer.main.get_command(app)
    words = list(words)
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        name = words.pop(0)
        command = command.get_command(None, name)
        assert command is not None, f"there is no command {name}"
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    for word in words:
        name = word.partition("=")[0]
        assert not word.startswith("--") or name in options, f"{command.name} has no option {name}"


EXAMPLES = sorted({(page.name, command) for page in PAGES for command in shown(page.read_text("utf-8"))})


@pytest.mark.parametrize(("page", "command"), EXAMPLES)
def test_a_shown_command_is_accepted(page: str, command: str) -> None:
    parse(arguments(command.rstrip("\\").replace("…", "")))


def test_the_pages_show_every_command() -> None:
    assert set(COMMANDS) <= {command.split()[0] for _, command in EXAMPLES}
