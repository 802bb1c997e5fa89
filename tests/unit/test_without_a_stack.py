"""Every command that needs a running stack names `--data` where none runs, in one line and without a trace."""

from pathlib import Path

import pytest
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
