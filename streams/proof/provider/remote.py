"""A simulated provider in a process of its own, and the talk with it."""

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
USD = {"usd_per_million_input": 0.15, "usd_per_million_output": 0.60}  # the same at 155 yen a dollar
KEY_VARIABLE = "LPSTREAM_SIMULATED_KEY"
READY_S = 20.0


class RemoteProvider:
    """The process, its script and its bill."""

    def __init__(self, name: str, port: int, log: Path) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        args = [sys.executable, "-m", "streams.proof.provider", "--port", str(port)]
        args += ["--input", str(PRICES.input), "--output", str(PRICES.output)]
        self.process = ChildProcess(name, args, log=log)
        self.process.grace_s = 2.0

    def start(self, script: Script | None = None) -> None:
        """Run it; return when it answers."""
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
        """Behave so from now on."""
        self._call("PUT", "/script", msgspec.json.encode(script))

    def bill(self) -> dict[str, Any]:
        """Sums and lines since the last reset."""
        found: dict[str, Any] = json.loads(self._call("GET", "/bill"))
        return found

    def reset(self) -> None:
        """Begin a new bill."""
        self._call("DELETE", "/bill")

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data=body, method=method)  # noqa: S310 - our own loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return bytes(answer.read())

    def setting(self) -> dict[str, Any]:
        """Its entry in LPSTREAM_LLM_PROVIDERS."""
        models = {tier: {"id": f"{self.name}-{tier}", **USD} for tier in ("fast", "high")}
        return {"name": self.name, "base_url": f"{self.url}/v1", "key_variable": KEY_VARIABLE, **models}


def settings_of(providers: list[RemoteProvider]) -> dict[str, str]:
    """What a worker must be told to ask these, in this order."""
    os.environ.setdefault(KEY_VARIABLE, "simulated")
    text = json.dumps([one.setting() for one in providers])
    return {"LPSTREAM_LLM_PROVIDERS": text, KEY_VARIABLE: "simulated"}
