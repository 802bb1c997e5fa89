"""Who a client is behind nginx, with the settings of compose and of Kubernetes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fronts import bare_edge, nginx_before, port_of
from production_tools import ROOT
from raw_http import ask, request

BURST = 5
RATE = {"LPSTREAM_EDGE_CLIENT_RATE": "0.5"}  # with ten seconds' worth at once
NAME = "LPSTREAM_EDGE_TRUSTED_PROXIES"


def of_kubernetes() -> dict[str, str]:
    text = (ROOT / "infra" / "kubernetes" / "base" / "edge.yaml").read_text("utf-8")
    container = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one["value"] for one in container["env"] if one["name"] == NAME}


def of_compose() -> dict[str, str]:
    services = yaml.safe_load((ROOT / "infra" / "compose" / "compose.yml").read_text("utf-8"))["services"]
    return {NAME: services["edge"]["environment"][NAME]}


async def statuses(address: str, *lines: str, count: int = BURST + 1) -> list[int]:
    headers = [f"X-Forwarded-For: {line}" for line in lines]
    whole = request(b"", headers, "/t.abc.js", "GET")  # no such file: it is never kept
    return [(await ask(address, whole)).status for _ in range(count)]


@pytest.fixture
def behind_google(tmp_path: Path) -> Iterator[str]:
    with (
        bare_edge(tmp_path, RATE | of_kubernetes()) as (edge, _),
        nginx_before(port_of(edge), tmp_path, "google") as front,
    ):
        yield front


async def test_visitors_behind_google_have_buckets_of_their_own(behind_google: str) -> None:
    one, other = "192.0.2.7, 198.51.100.1", "192.0.2.8, 198.51.100.1"
    assert await statuses(behind_google, one) == [404] * BURST + [429]
    assert await statuses(behind_google, other) == [404] * BURST + [429]
    for spoof in ([f"203.0.113.9, {one}"], ["203.0.113.9", one], [f"{other}, {one}"], ["192.0.2.7:99, 198.51.100.1"]):
        assert await statuses(behind_google, *spoof, count=1) == [429], spoof


async def test_a_visitor_of_compose_cannot_name_itself(tmp_path: Path) -> None:
    with bare_edge(tmp_path, RATE | of_compose()) as (edge, _), nginx_before(port_of(edge), tmp_path) as front:
        assert await statuses(front, "192.0.2.7") == [404] * BURST + [429]
        assert await statuses(front, "192.0.2.8", "203.0.113.9, 203.0.113.10", count=1) == [429]
