"""Programs that judge the production files: from the path, or from where `make tools` puts them."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AT = ROOT / ".lpstream" / "tools" / "bin"
WHENCE = {
    "promtool": "`make tools`, or Debian's package prometheus",
    "nginx": "`make tools`, or Debian's package nginx",
    "kubectl": "kubectl 1.27 or later, which carries kustomize 5",
}


def find_tool(name: str) -> str | None:
    """Where the program is, if it is on this machine."""
    return shutil.which(name) or shutil.which(name, path=str(AT))


def tool(name: str) -> str:
    """Where the program is; the test is skipped, and says what to install, when it is nowhere."""
    found = find_tool(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine: install {WHENCE[name]}")
    return found


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The program's output; the test fails with it when the program is not content."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[0]} {command[1]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr
