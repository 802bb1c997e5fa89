"""`lpstream verify` under faults and Ctrl-C: its report must match the events."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import full_only
from patience import PATIENCE_S

from streams.proof.verify.report import kept

pytestmark = [pytest.mark.stack, full_only]
COMMAND = [sys.executable, "-m", "streams", "verify", "--scale", "0.02", "--ramp", "2", "--warm", "0"]


def test_chaos_has_no_losses_or_duplicates(apache: None, tmp_path: Path) -> None:
    subprocess.run([*COMMAND, "--scenario", "chaos", "--duration", "170", "--out", str(tmp_path)], check=False)
    run = kept(tmp_path)["chaos"]
    assert len(run["faults"]) == 3 and all(one["healed_s"] for one in run["faults"])
    assert run["events"]["acknowledged"] == run["events"]["counted"] > 0
    assert (run["events"]["lost"], run["events"]["doubled"]) == (0, 0)
    assert (run["lps"]["lost"], run["lps"]["doubled"]) == (0, 0)
    print(run["faults"], run["availability"])


def test_restarting_all_services_fails_no_request(apache: None, tmp_path: Path) -> None:
    subprocess.run([*COMMAND, "--scenario", "rolling", "--duration", "110", "--out", str(tmp_path)], check=False)
    run = kept(tmp_path)["rolling"]
    assert [one["text"].split(":")[0] for one in run["faults"]] == ["edge", "heatmap", "generation"]
    assert all(one["healed_s"] for one in run["faults"]) and run["problems"] == []
    assert run["errors"]["total"] == 0 and run["availability"]["share"] == 1
    assert run["events"]["acknowledged"] == run["events"]["counted"] > 0
    assert (run["lps"]["lost"], run["lps"]["doubled"]) == (0, 0)


def test_ctrl_c_stops_the_load_and_writes_the_measurements(apache: None, tmp_path: Path) -> None:
    args = [*COMMAND, "--scenario", "normal", "--scenario", "peak", "--duration", "300", "--out", str(tmp_path)]
    with (tmp_path / "said").open("w", encoding="utf-8") as stderr:
        running = subprocess.Popen(args, stderr=stderr, start_new_session=True)
        try:
            until = time.monotonic() + PATIENCE_S
            while " of 300 s:" not in (tmp_path / "said").read_text(encoding="utf-8"):
                assert running.poll() is None and time.monotonic() < until
                time.sleep(0.5)
            time.sleep(8)
            os.kill(running.pid, signal.SIGINT)
            running.wait(180)
        finally:
            running.kill()
    runs = kept(tmp_path)
    assert list(runs) == ["normal"] and runs["normal"]["interrupted"]
    assert runs["normal"]["events"]["acknowledged"] == runs["normal"]["events"]["counted"] > 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {row["verdict"] for row in report if row["scenario"] == "peak"} == {"not_run"}
