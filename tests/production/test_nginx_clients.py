"""The client's identity behind nginx, with the settings of compose and of Kubernetes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from nginx_and_edge import FOLDER, bare_edge, free_port, nginx_before, port_of, running_nginx
from production_tools import ROOT
from raw_http import ask, request

BURST = 5
RATE = {"LPSTREAM_EDGE_CLIENT_RATE": "0.5"}  # a burst of ten seconds is allowed
NAME = "LPSTREAM_EDGE_TRUSTED_PROXIES"


def of_kubernetes() -> dict[str, str]:
    text = (ROOT / "infra" / "kubernetes" / "base" / "edge.yaml").read_text("utf-8")
    container = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one["value"] for one in container["env"] if one["name"] == NAME}


def of_compose() -> dict[str, str]:
    services = yaml.safe_load((ROOT / "infra" / "compose" / "compose.yml").read_text("utf-8"))["services"]
    value = services["edge"]["environment"][NAME]
    return {NAME: re.sub(r"\$\{\w+:-(\w*)\}", r"\1", value)}  # as compose without this variable


async def statuses(address: str, *lines: str, count: int = BURST + 1) -> list[int]:
    headers = [f"X-Forwarded-For: {line}" for line in lines]
    whole = request(b"", headers, "/t.abc.js", "GET")  # no such file, so it is never cached
    return [(await ask(address, whole)).status for _ in range(count)]


SAME = [  # each row: spellings of one IPv4 client or of one IPv6 /64
    ("192.0.2.7", "::ffff:192.0.2.7"),
    ("2001:db8:1::5", "2001:db8:1:0:1:2:3:4", "2001:db8:1:0:f::"),
    ("2001:db8::5", "2001:db8:0:0:1::", "2001:db8:0:0:1:0:2:0"),
    ("2001:db8:1:2::5", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
    ("2001::5", "2001:0:0:0:1:2:3:4"),
    ("2001:db8:0:2::5", "2001:db8:0:2:3:4:5:6"),
]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an nginx that answers with the client name by which the project's configuration sets limits."""
    folder = tmp_path_factory.mktemp("names")
    text = (FOLDER / "nginx.conf").read_text("utf-8")
    found = re.search(r"    map \$client_address \$client \{.*?\n    \}\n", text, re.DOTALL)
    assert found is not None
    port = free_port()
    file = folder / "nginx.conf"
    bodies = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    bodies += f"client_body_temp_path {folder}/body;"
    file.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {bodies} include {FOLDER}/google.conf;\n{found[0]}"
        f"    server {{ listen 127.0.0.1:{port}; return 200 $client; }} }}\n",
        "utf-8",
    )
    with running_nginx(file, folder, f"http://127.0.0.1:{port}"):
        yield f"http://127.0.0.1:{port}"


async def test_nginx_has_one_name_for_all_addresses_of_a_client(named: str) -> None:
    names = []
    for group in SAME:
        asked = [request(b"", [f"X-Forwarded-For: {one}, 198.51.100.1"], "/", "GET") for one in group]
        found = {(await ask(named, one)).body for one in asked}
        assert len(found) == 1, group
        names.append(found.pop())
    assert len(set(names)) == len(SAME)


@pytest.fixture
def behind_google(tmp_path: Path) -> Iterator[str]:
    with (
        bare_edge(tmp_path, RATE | of_kubernetes()) as (edge, _),
        nginx_before(port_of(edge), tmp_path, "google") as front,
    ):
        yield front


async def test_visitors_behind_google_have_separate_rates(behind_google: str) -> None:
    one, other = "192.0.2.7, 198.51.100.1", "192.0.2.8, 198.51.100.1"
    assert await statuses(behind_google, one) == [404] * BURST + [429]
    assert await statuses(behind_google, other) == [404] * BURST + [429]
    for spoof in ([f"203.0.113.9, {one}"], ["203.0.113.9", one], [f"{other}, {one}"], ["192.0.2.7:99, 198.51.100.1"]):
        assert await statuses(behind_google, *spoof, count=1) == [429], spoof


async def test_a_visitor_of_compose_cannot_forge_its_address(tmp_path: Path) -> None:
    with bare_edge(tmp_path, RATE | of_compose()) as (edge, _), nginx_before(port_of(edge), tmp_path) as front:
        assert await statuses(front, "192.0.2.7") == [404] * BURST + [429]
        assert await statuses(front, "192.0.2.8", "203.0.113.9, 203.0.113.10", count=1) == [429]
