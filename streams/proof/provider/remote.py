"""A simulated provider in its own process, and its client."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from infra.embedded.process import ChildProcess
from streams.proof.provider.bill import Prices
from streams.proof.provider.script import Script

PRICES = Prices(23_250_000, 93_000_000)
USD = {"usd_per_million_input": 0.15, "usd_per_million_output": 0.60}  # equals PRICES at 155 yen per dollar
KEY_VARIABLE = "LPSTREAM_SIMULATED_KEY"
READY_S = 20.0


class RemoteProvider:
    """The provider's process, with its script and its bill."""

    def __init__(self, name: str, port: int, log: Path) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        args = [sys.executable, "-m", "streams.proof.provider", "--port", str(port)]
        args += ["--input", str(PRICES.input), "--output", str(PRICES.output)]
        self.process = ChildProcess(name, args, log=log)
        self.process.grace_s = 2.0

    def start(self, script: Script | None = None) -> None:
        """Start the process; return when it answers."""
        self.process.start()
        self.process.wait_ready(self._answers, READY_S)
        if script is not None:
            self.play(script)

    def _answers(self) -> bool:
        try:
            self._call("GET", "/v1/models")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def play(self, script: Script) -> None:
        """Set how the provider behaves from now on."""
        self._call("PUT", "/script", msgspec.json.encode(script))

    def bill(self) -> dict[str, Any]:
        """Return the sums and lines since the last reset."""
        bill: dict[str, Any] = json.loads(self._call("GET", "/bill"))
        return bill

    def reset(self) -> None:
        """Start a new bill."""
        self._call("DELETE", "/bill")

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data=body, method=method)  # noqa: S310 - loopback address
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback address
            return bytes(answer.read())

    def setting(self) -> dict[str, Any]:
        """Return the provider's entry in LPSTREAM_LLM_PROVIDERS."""
        models = {tier: {"id": f"{self.name}-{tier}", **USD} for tier in ("fast", "high")}
        return {"name": self.name, "base_url": f"{self.url}/v1", "key_variable": KEY_VARIABLE, **models}


def settings_of(providers: list[RemoteProvider]) -> dict[str, str]:
    """Return the settings for a worker that calls these providers, in this order.

    Also set the key in this process's environment.
    """
    os.environ.setdefault(KEY_VARIABLE, "simulated")
    text = json.dumps([provider.setting() for provider in providers])
    return {"LPSTREAM_LLM_PROVIDERS": text, KEY_VARIABLE: "simulated"}
