"""The real nginx with the project's configuration, and an edge without stores behind it."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from patience import PATIENCE_S
from production_tools import ROOT, tool

from infra.embedded.process import ChildProcess
from streams.local.installation import answers

FOLDER = ROOT / "infra" / "nginx"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def adapted(folder: Path, edge: int, public: int, status: int, client: str = "direct") -> Path:
    """Write the configuration with addresses and folders of this machine; return the file."""
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
    # As root, nginx would run its workers as `nobody`, who cannot enter the folder.
    file = folder / "nginx.conf"
    file.write_text(("user root;\n" if os.geteuid() == 0 else "") + text, "utf-8")
    return file


def runnable() -> str:
    """Return the nginx program, or skip the test if it does not start."""
    found = tool("nginx")
    if subprocess.run([found, "-v"], capture_output=True, check=False).returncode != 0:
        pytest.skip("nginx does not start: install Debian's package nginx with its dependencies")
    return found


@contextlib.contextmanager
def nginx_before(edge: int, folder: Path, client: str = "direct") -> Iterator[str]:
    """Run an nginx in front of the edge on that port; yield its address."""
    public = free_port()
    file = adapted(folder, edge, public, free_port(), client)
    address = f"http://127.0.0.1:{public}"
    with running_nginx(file, folder, f"{address}/healthz"):
        yield address


@contextlib.contextmanager
def running_nginx(file: Path, folder: Path, ready_url: str) -> Iterator[None]:
    """Run nginx with that configuration while the block runs; start when `ready_url` answers."""
    running = subprocess.Popen([runnable(), "-e", f"{folder}/start.log", "-c", str(file), "-g", "daemon off;"])
    try:
        _wait_for(ready_url)
        yield
    finally:
        running.terminate()
        running.wait(10)


@contextlib.contextmanager
def bare_edge(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Run an edge without stores that acknowledges every beacon; yield its public and private address."""
    with bare_edge_process(folder, settings) as (_, public, private):
        yield public, private


@contextlib.contextmanager
def bare_edge_process(
    folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[ChildProcess, str, str]]:
    """Run an edge like `bare_edge`; yield its process and both addresses."""
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
        child.wait_ready(lambda: answers(f"{addresses[0]}/readyz"), PATIENCE_S)
        yield child, *addresses
    finally:
        child.stop()


def port_of(address: str) -> int:
    """Return the port of an address."""
    return int(address.rpartition(":")[2])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not answers(url):
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.05)
