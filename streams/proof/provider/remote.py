"""A simulated provider in its own process, its client, and the settings of a worker that calls it."""

import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.generation.mix import Mix
from streams.generation.services import CopyServices
from streams.generation.warming import Figures, Warming
from streams.local.installation import answers
from streams.proof.provider.bill import Prices
from streams.proof.provider.script import Script
from streams.runtime.settings import PREFIX, Settings, load_settings

PRICES = Prices(23_250_000, 93_000_000)
USD = {"usd_per_million_input": 0.15, "usd_per_million_output": 0.60}  # equals PRICES at 155 yen per dollar
KEY_VARIABLE = "LPSTREAM_SIMULATED_KEY"
READY_S = 180.0
WARMED_AT_ONCE = 16


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
        self.process.wait_ready(lambda: answers(f"{self.url}/v1/models"), READY_S)
        if script is not None:
            self.play(script)

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
        """Return the provider as an item for the list in LPSTREAM_LLM_PROVIDERS."""
        models = {tier: {"id": f"{self.name}-{tier}", **USD} for tier in ("fast", "high")}
        return {"name": self.name, "base_url": f"{self.url}/v1", "key_variable": KEY_VARIABLE, **models}


@contextlib.contextmanager
def provider_on(stack: Stack, name: str, script: Script) -> Iterator[RemoteProvider]:
    """Run a provider beside the stack while the block runs.

    The stack's folder keeps its port and its log.
    """
    ports = Ports(stack.data)
    provider = RemoteProvider(name, ports.get(f"provider-{name}"), stack.data / "logs" / f"provider-{name}.log")
    ports.save()
    try:
        provider.start(script)
        yield provider
    finally:
        provider.process.stop()


def provider_settings(providers: list[RemoteProvider]) -> dict[str, str]:
    """Return the settings for a worker that calls these providers, in this order.

    Also set the key in this process's environment.
    """
    os.environ.setdefault(KEY_VARIABLE, "simulated")
    text = json.dumps([provider.setting() for provider in providers])
    return {"LPSTREAM_LLM_PROVIDERS": text, KEY_VARIABLE: "simulated"}


def settings_with(env: Mapping[str, str], provider: RemoteProvider | None) -> Settings:
    """Return the settings of a worker's environment for this process.

    Lists are JSON in the environment, but lists here.
    """
    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in env.items()
        if name.startswith(PREFIX) and name not in (f"{PREFIX}LLM_PROVIDERS", KEY_VARIABLE)
    }
    return load_settings(**values, **({"llm_providers": [provider.setting()]} if provider else {}))


async def warm(settings: Settings, count: int) -> Figures:
    """Make copy for the most frequent patterns of the mix, before a measurement."""
    desk = CopyServices(settings)
    try:
        return await Warming(desk).run(Mix.load().patterns()[:count], WARMED_AT_ONCE)
    finally:
        await desk.close()
