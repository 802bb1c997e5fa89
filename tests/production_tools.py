"""Programs that check the production files: from the PATH, or from the folder of `make tools`."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from patience import PATIENCE_S

ROOT = Path(__file__).parents[1]
AT = ROOT / ".lpstream" / "tools" / "bin"
SOURCES = {
    "promtool": "`make tools`, or Debian's package prometheus",
    "nginx": "`make tools`, or Debian's package nginx",
    "kubectl": "kubectl 1.27 or later, which carries kustomize 5",
}


def find_tool(name: str) -> str | None:
    """Return the program's path, or None if it is not on this machine."""
    return shutil.which(name) or shutil.which(name, path=str(AT))


def tool(name: str) -> str:
    """Return the program's path, or skip the test with a hint for its installation."""
    found = find_tool(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine: install {SOURCES[name]}")
    return found


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run the program and return its output; fail with the output if it exits with an error."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, f"{command[0]} {command[1]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@cache
def built(folder: Path) -> list[dict[str, Any]]:
    """Return the manifests that kustomize builds from a folder."""
    text = run(tool("kubectl"), "kustomize", "--load-restrictor=LoadRestrictionsNone", folder)
    return [one for one in yaml.safe_load_all(text) if one]
