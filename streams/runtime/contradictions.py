"""Settings that contradict each other: each is valid alone, and together they cannot work.

The type of the settings is `Any` here, because `streams/runtime/settings.py` imports this module.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from streams.runtime.addresses import unfit
from streams.runtime.store_settings import PREFIX

LEAST_BODY = 65_536  # a body counts at least these bytes, because it also holds a connection and a request
LEAST_SECRET = 32
PORTS = ("edge_port", "api_port", "worker_metrics_port")


def contradictions(settings: Any) -> Iterator[str]:
    """Yield a message for each contradiction, with the settings and the remedy."""
    for check in (_ports, _logins, _copies, _addresses, _tiers, _bodies, _providers):
        yield from check(settings)


def _ports(settings: Any) -> Iterator[str]:
    """Check the ports: two listeners on one port would share its connections at random."""
    listeners = Counter(port for name in PORTS if (port := getattr(settings, name)))
    for port, count in listeners.items():
        if count > 1:
            names = ", ".join(f"{PREFIX}{name.upper()}" for name in PORTS if getattr(settings, name) == port)
            yield f"{names}: all are {port}; give each listener a port of its own"
    if settings.edge_processes != 1 and not (settings.edge_port and settings.api_port):
        yield (
            f"{PREFIX}EDGE_PORT, {PREFIX}API_PORT: 0 is any free port, which several processes cannot share; give "
            f"ports, or set {PREFIX}EDGE_PROCESSES to 1"
        )


def _logins(settings: Any) -> Iterator[str]:
    if settings.kafka_protocol.startswith("SASL") and not (
        settings.kafka_username and settings.kafka_password.get_secret_value()
    ):
        yield (
            f"{PREFIX}KAFKA_USERNAME, {PREFIX}KAFKA_PASSWORD: give both, because {PREFIX}KAFKA_PROTOCOL is "
            f"{settings.kafka_protocol}"
        )
    if settings.redis_username and not settings.redis_password.get_secret_value():
        yield f"{PREFIX}REDIS_USERNAME: would not be used without {PREFIX}REDIS_PASSWORD; give both, or none"
    if bool(settings.s3_access_key_id.get_secret_value()) != bool(settings.s3_secret_access_key.get_secret_value()):
        yield f"{PREFIX}S3_ACCESS_KEY_ID, {PREFIX}S3_SECRET_ACCESS_KEY: one is empty; give both, or none"
    if 0 < len(settings.studio_secret.get_secret_value()) < LEAST_SECRET:
        yield f"{PREFIX}STUDIO_SECRET: give at least {LEAST_SECRET} random characters"


def _copies(settings: Any) -> Iterator[str]:
    if settings.kafka_min_insync_replicas > settings.kafka_replication_factor:
        yield (
            f"{PREFIX}KAFKA_MIN_INSYNC_REPLICAS: is {settings.kafka_min_insync_replicas}, so that no record would be "
            f"acknowledged; give at most {PREFIX}KAFKA_REPLICATION_FACTOR ({settings.kafka_replication_factor})"
        )


def _addresses(settings: Any) -> Iterator[str]:
    """Check the addresses: visitors must reach those of a production installation."""
    for name in ("public_url", "api_url") if settings.production else ():
        if reason := unfit(getattr(settings, name)):
            yield (
                f"{PREFIX}{name.upper()}: {reason}. Give an address that browsers reach, such as "
                f"https://lp.example.com, because {PREFIX}PRODUCTION is true"
            )
    if settings.public_url and settings.api_url:
        public, private = urlsplit(settings.public_url), urlsplit(settings.api_url)
        if (public.scheme, public.netloc) == (private.scheme, private.netloc):
            yield (
                f"{PREFIX}PUBLIC_URL, {PREFIX}API_URL: have the same origin, so that published pages could act for a "
                "user of the studio; give each its own host or port"
            )


def _tiers(settings: Any) -> Iterator[str]:
    if settings.tier_warm_days <= settings.tier_hot_days:
        yield f"{PREFIX}TIER_WARM_DAYS: give more days than {PREFIX}TIER_HOT_DAYS ({settings.tier_hot_days})"


def _bodies(settings: Any) -> Iterator[str]:
    """Check limits: below one body, a limit would refuse every body of that size."""
    body = max(settings.edge_max_body_bytes, LEAST_BODY)
    if 0 < settings.edge_client_body_bytes < body:
        yield (
            f"{PREFIX}EDGE_CLIENT_BODY_BYTES: give 0, or at least the larger of {LEAST_BODY} and "
            f"{PREFIX}EDGE_MAX_BODY_BYTES ({settings.edge_max_body_bytes})"
        )
    if settings.edge_max_in_flight_bytes < settings.edge_max_body_bytes:
        yield (
            f"{PREFIX}EDGE_MAX_IN_FLIGHT_BYTES: give at least {PREFIX}EDGE_MAX_BODY_BYTES "
            f"({settings.edge_max_body_bytes})"
        )


def _providers(settings: Any) -> Iterator[str]:
    for name, count in Counter(provider.name for provider in settings.llm_providers).items():
        if count > 1:
            yield f"{PREFIX}LLM_PROVIDERS: {count} providers have the name {name}; give each a name of its own"
