"""The place of a verification: a new embedded stack, a running stack, or given addresses."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.embedded.kafka import Choice
from infra.embedded.stack import Stack
from schemas.errors import LpstreamError, SettingError
from streams.local.installation import Installation
from streams.local.prepare import new_stack, prepare, settings_of
from streams.proof.provider.profiles import profiles
from streams.proof.provider.remote import RemoteProvider, provider_on, provider_settings, settings_with, warm
from streams.proof.provider.script import AT_ONCE, COPY_3_S, Script
from streams.proof.verify.resources import port_of
from streams.runtime.settings import PREFIX, Settings

# long timeouts for the warming: a busy machine must not open the provider's breaker
PATIENT = {"llm_first_token_s": 20.0, "llm_idle_s": 20.0, "llm_breaker_failures": 1_000}

Say = Callable[[str], None]
# models of a place, besides the names of profiles: the plain simulator, and those of the settings
SIMULATOR, SETTINGS = "simulator", "settings"


@dataclass(slots=True)
class Place:
    """The addresses and, for an embedded stack, the processes that can be killed.

    `told` describes the place for the report; `ports` maps a server's port to its name.
    """

    settings: Settings
    tenant: str
    told: str
    ports: dict[int, str] = field(default_factory=dict)
    stack: Stack | None = None
    services: Installation | None = None
    provider: RemoteProvider | None = None
    script: Script = COPY_3_S
    services_pids: Mapping[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def edge(self) -> str:
        """The URL of the public listener."""
        return self.settings.page_base_url

    @property
    def api(self) -> str:
        """The URL of the private listener."""
        return self.settings.api_base_url

    @property
    def token(self) -> str:
        """The tenant's token."""
        return self.settings.api_token.get_secret_value()

    def pids(self) -> dict[str, int]:
        """Return the ids of all known processes, by name."""
        pids = dict(self.services_pids)
        if self.services is not None:
            pids |= {name: child.pid for name, child in self.services.children.items()}
        if self.stack is not None:
            pids |= {name: child.pid for name, child in self.stack.processes.items()}
        if self.provider is not None:
            pids["provider"] = self.provider.process.pid
        return pids


@contextlib.contextmanager
def embedded(
    folder: Path, kafka: Choice, models: str, say: Say, *, edges: int = 1, brokers: int = 1
) -> Iterator[Place]:
    """Run a stack and its services while the block runs, with simulated or configured providers.

    `models` is SIMULATOR, SETTINGS or the name of a profile. Raise LpstreamError for an unknown name, and if several
    brokers are asked for and Apache Kafka is not available.
    """
    script = script_of(models)
    with contextlib.ExitStack() as opened:
        stack = opened.enter_context(new_stack(folder, kafka, say, kafka_nodes=brokers))
        if brokers > 1 and stack.broker.kind == "tansu":
            raise LpstreamError(f"--brokers {brokers} needs Apache Kafka, which is not available here; use --brokers 1")
        asyncio.run(prepare(settings_of(stack)))
        provider, overrides = None, {}
        if models != SETTINGS:
            provider = opened.enter_context(provider_on(stack, "simulator", script))
            overrides = provider_settings([provider])
        overrides |= {f"{PREFIX}EDGE_PROCESSES": str(edges)}
        services = opened.enter_context(Installation(stack, say, overrides))
        settings = settings_with(services.settings(), provider)
        yield Place(
            settings, "demo", _described(stack, edges, brokers), _ports(settings, provider), stack, services, provider,
            script, versions=stack.versions(),
        )  # fmt: skip


def script_of(models: str) -> Script:
    """Return the simulator's script for a profile's name. Raise LpstreamError for an unknown name."""
    if models in (SIMULATOR, SETTINGS):
        return COPY_3_S
    known = profiles()
    if models not in known.healthy and models not in known.broken:
        raise LpstreamError(f"--provider {models}: unknown; give simulator, settings or a name from docs/generation.md")
    return Script(total_s=COPY_3_S.total_s, first_token_s=COPY_3_S.first_token_s, profiles={models: 1.0})


def _described(stack: Stack, edges: int, brokers: int) -> str:
    several = [f"{count} {name}" for count, name in ((brokers, "brokers"), (edges, "edge processes")) if count > 1]
    return ", ".join(["embedded stack", stack.broker.version(), *several])


def running(settings: Settings, tenant: str, pids: Mapping[str, int]) -> Place:
    """Return the place at the settings' addresses. Raise SettingError without a token."""
    if not settings.api_token.get_secret_value():
        raise SettingError(f"{PREFIX}API_TOKEN: is not set; give a token of your tenant for the private listener")
    return Place(settings, tenant, f"{settings.page_base_url}", _ports(settings, None), services_pids=pids)


def _ports(settings: Settings, provider: RemoteProvider | None) -> dict[int, str]:
    brokers = settings.kafka_bootstrap_servers.split(",")
    addresses = {
        "edge": settings.page_base_url,
        "edge, private": settings.api_base_url,
        **{"kafka" if node == 1 else f"kafka-{node}": address for node, address in enumerate(brokers, 1)},
        "clickhouse": settings.clickhouse_url,
        "redis": settings.redis_url,
        "s3": settings.s3_endpoint_url or "",
        "provider": provider.url if provider else "",
    }
    return {port: name for name, address in addresses.items() if (port := port_of(address))}


def warm_copy(place: Place, patterns: int, say: Say) -> str:
    """Make copy for the most frequent patterns before the measurement. Return a summary for the report.

    The simulated provider answers quickly meanwhile. Copy that fails here lowers the hit rate.
    """
    if not patterns:
        return "none"
    say(f"warming {patterns} patterns")
    if place.provider is not None:
        place.provider.play(AT_ONCE)
    done = asyncio.run(warm(place.settings.model_copy(update=PATIENT), patterns))
    summary = f"{done.made} patterns, {done.there} already there, {done.failed} failed"
    if place.provider is not None:
        place.provider.play(place.script)
    say(f"copy made beforehand: {summary}")
    return summary
