"""`lpstream verify` as a subprocess against a running stack: a tiny scenario from start to report."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import lpstream
from harness import full_only

from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.proof.verify.report import kept

pytestmark = pytest.mark.stack
TINY = ("--scale", "0.01", "--ramp", "1", "--warm", "0", "--seed", "5")


def verify(stack: Stack, target: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return lpstream("verify", *args, "--out", str(target), data=stack.data)


@full_only
def test_a_tiny_scenario_is_driven_counted_and_reported(
    stack: Stack, installation: Installation, tmp_path: Path
) -> None:
    done = verify(stack, tmp_path, "--scenario", "normal", *TINY, "--duration", "8", "--json")
    lines: list[dict[str, Any]] = json.loads(done.stdout)
    verdicts = {row["measure"]: row["verdict"] for row in lines}
    assert {row["scenario"] for row in lines} == {"normal"}
    assert {row["scale"] for row in lines} == {0.01}
    assert done.returncode == ("fail" in verdicts.values()), done.stderr
    for measure in ("connections", "events_lost", "events_doubled", "lps_lost", "lps_doubled", "lp_in_time"):
        assert verdicts[measure] == "pass", (measure, lines, done.stderr)
    run = kept(tmp_path)["normal"]
    assert run["events"]["acknowledged"] == run["events"]["counted"] > 10
    assert run["kinds"]["beacon"]["ms"]["count"] >= 10 and run["errors"]["total"] == 0
    assert run["lps"]["answered"] == run["lps"]["asked"] == 1
    assert run["queryable_s"]["count"] > 0
    assert run["resources"]["processes"]["edge"]["memory_mb"]["peak"] > 50
    assert sum(run["resources"]["processes"]["edge"]["network_kb_s"].values()) > 0
    assert not run["interrupted"] and not run["problems"]
    for name in ("report.json", "report.md", "report.ja.md", "report.html"):
        assert (tmp_path / name).stat().st_size > 1_000


def test_chaos_needs_a_stack_of_its_own(stack: Stack, installation: Installation, tmp_path: Path) -> None:
    done = verify(stack, tmp_path, "--scenario", "chaos", *TINY)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "chaos ends processes" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--brokers", "3"), "--edges and --brokers need an embedded stack"),
        (("--edges", "2", "--scenario", "rolling"), "rolling needs --edges 1"),
    ],
)
def test_options_that_exclude_each_other_are_an_error(tmp_path: Path, args: list[str], message: str) -> None:
    done = lpstream("verify", *args, "--out", str(tmp_path), data=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert message in " ".join(done.stderr.split())


def test_an_unknown_scenario_is_an_error_that_names_the_choices(tmp_path: Path) -> None:
    done = lpstream("verify", "--scenario", "stroll", data=tmp_path)
    assert done.returncode == 1 and "stroll" in done.stderr and "normal" in done.stderr
