"""Simulated model providers: real servers on loopback ports, in the test's event loop."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from infra.llm.endpoint import Endpoint
from streams.proof.provider.bill import Prices
from streams.proof.provider.script import Script
from streams.proof.provider.server import Provider, serve

INPUT, OUTPUT = 23_250_000, 93_000_000
QUICK = Script(total_s=0.25, first_token_s=0.08)
SCHEMA = '{"type":"object","properties":{"catch":{"type":"string","maxLength":40}},"required":["catch"]}'
MESSAGES = [{"role": "system", "content": f"JSONで返してください。{SCHEMA}"}, {"role": "user", "content": "題材"}]


@dataclass(slots=True)
class Simulated:
    """A simulated provider and its address."""

    provider: Provider
    url: str

    def endpoint(self, name: str = "one", model: str = "fast-1") -> Endpoint:
        return Endpoint(name, f"{self.url}/v1", "key", model, INPUT, OUTPUT)


@contextlib.asynccontextmanager
async def simulated(script: Script = QUICK, seed: int = 1) -> AsyncIterator[Simulated]:
    """Run a simulated provider while the block runs."""
    provider = Provider(Prices(INPUT, OUTPUT), seed)
    provider.script = script
    runner = await serve(provider, 0)
    try:
        yield Simulated(provider, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
