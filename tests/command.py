"""The command line as a subprocess."""

import os
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_S


def lpstream(*args: str, data: Path, stdin: str = "", within_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run `lpstream ARGS --data DATA` without LPSTREAM_ variables of the test's environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LPSTREAM_")}
    command = [sys.executable, "-m", "streams", *args, "--data", str(data)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=within_s, check=False, env=env)
