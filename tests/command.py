"""The command line as a person types it."""

import os
import subprocess
import sys
from pathlib import Path


def lpstream(*args: str, data: Path, stdin: str = "", within_s: float = 60) -> subprocess.CompletedProcess[str]:
    """`lpstream ARGS --data DATA` without the tests' own settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LPSTREAM_")}
    command = [sys.executable, "-m", "streams", *args, "--data", str(data)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=within_s, check=False, env=env)
