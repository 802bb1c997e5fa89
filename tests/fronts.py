"""The real nginx with the project's configuration, and an edge without stores, for tests of what stands in front."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from production_tools import ROOT, tool

from infra.embedded.process import ChildProcess

FOLDER = ROOT / "infra" / "nginx"
READY_S = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def adapted(folder: Path, edge: int, public: int, status: int, client: str = "direct") -> Path:
    """The configuration with addresses and folders of this machine."""
    (folder / "mime.types").write_text("types { text/html html; }\n", "utf-8")
    text = (FOLDER / "nginx.conf").read_text("utf-8")
    here = {
        "/etc/nginx/mime.types": f"{folder}/mime.types",
        "/etc/nginx/client.conf": f"{FOLDER}/{client}.conf",
        "edge:8080": f"127.0.0.1:{edge}",
        "listen 8080": f"listen 127.0.0.1:{public}",
        "127.0.0.1:8083": f"127.0.0.1:{status}",
        "/dev/stdout json buffer=32k flush=1s": f"{folder}/access.log json",
        "/dev/stderr": f"{folder}/error.log",
        " /tmp/": f" {folder}/",
    }
    assert [old for old in here if old not in text] == []
    text = re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], text)
    # root's nginx would give its workers to nobody, who may not enter the folder
    file = folder / "nginx.conf"
    file.write_text(("user root;\n" if os.geteuid() == 0 else "") + text, "utf-8")
    return file


def runnable() -> str:
    """nginx; the test is skipped where it does not start."""
    found = tool("nginx")
    if subprocess.run([found, "-v"], capture_output=True, check=False).returncode != 0:
        pytest.skip("nginx does not start here: install Debian's package nginx with what it needs")
    return found


@contextlib.contextmanager
def nginx_before(edge: int, folder: Path, client: str = "direct") -> Iterator[str]:
    """The address of an nginx before the edge on that port, for the time of the block."""
    public = free_port()
    file = adapted(folder, edge, public, free_port(), client)
    address = f"http://127.0.0.1:{public}"
    with running_nginx(file, folder, f"{address}/healthz"):
        yield address


@contextlib.contextmanager
def running_nginx(file: Path, folder: Path, ready_url: str) -> Iterator[None]:
    """nginx with that configuration, from when it answers at the address until the end of the block."""
    running = subprocess.Popen([runnable(), "-e", f"{folder}/start.log", "-c", str(file), "-g", "daemon off;"])
    try:
        _wait_for(ready_url)
        yield
    finally:
        running.terminate()
        running.wait(10)


@contextlib.contextmanager
def bare_edge(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """An edge that acknowledges every beacon at once and has no store: its public and its private address."""
    with bare_edge_process(folder, settings) as (_, public, private):
        yield public, private


@contextlib.contextmanager
def bare_edge_process(
    folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[ChildProcess, str, str]]:
    """The same, with its process."""
    public, private, nobody = free_port(), free_port(), free_port()
    env = {
        **os.environ,
        "LPSTREAM_EDGE_PORT": str(public),
        "LPSTREAM_API_PORT": str(private),
        "LPSTREAM_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody}",
        "LPSTREAM_REDIS_URL": f"redis://127.0.0.1:{nobody}",
        "LPSTREAM_CLICKHOUSE_URL": f"http://127.0.0.1:{nobody}",
        "LPSTREAM_S3_ENDPOINT_URL": f"http://127.0.0.1:{nobody}",
        "LPSTREAM_S3_ACCESS_KEY_ID": "none",
        "LPSTREAM_S3_SECRET_ACCESS_KEY": "none",
        **(settings or {}),
    }
    command = [sys.executable, "-m", "streams.proof.bench.edge_without_kafka"]
    child = ChildProcess("edge", command, log=folder / "edge.log", env=env)
    addresses = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{private}"
    try:
        child.start()
        _wait_for(f"{addresses[0]}/readyz")
        yield child, *addresses
    finally:
        child.stop()


def port_of(address: str) -> int:
    """The port of an address."""
    return int(address.rpartition(":")[2])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")
