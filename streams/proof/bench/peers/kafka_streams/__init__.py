"""The Kafka Streams peer: Maven fetches the jars, javac compiles the Java file."""

import hashlib
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

from infra.embedded.kafka import apache_obstacle
from schemas.errors import LpstreamError
from streams.proof.bench.peers import run

MAVEN_S, JAVAC_S = 300.0, 120.0
SOURCE = "HeatmapStreams.java"


class KafkaStreams:
    """The Kafka Streams peer."""

    name = "Kafka Streams"

    def __init__(self) -> None:
        self._here = files(__name__)
        pom = self._here.joinpath("pom.xml").read_text("utf-8")
        match = re.search(r"<kafka\.version>([\w.-]+)<", pom)
        self._version = match[1] if match else "?"
        self.name = f"Kafka Streams {self._version}"

    def prepare(self, cache: Path) -> list[str]:
        """Fetch the jars (96 MB) and compile, unless already done; return the command line."""
        if obstacle := apache_obstacle():
            raise LpstreamError(obstacle)
        if shutil.which("javac") is None:
            raise LpstreamError("javac is not on the PATH; install a JDK")
        folder = cache / f"kafka-streams-{self._version}"
        libs = folder / "libs"
        if not libs.exists():
            self._fetch(folder, libs)
        classes = self._compiled(folder, libs)
        return ["java", "-Xmx2g", "-cp", f"{classes}:{libs}/*", "HeatmapStreams", str(folder / f"state-{os.getpid()}")]

    def version(self) -> str:
        """Return the version of the jars."""
        return f"kafka-streams {self._version}"

    def _fetch(self, folder: Path, libs: Path) -> None:
        partial = folder / f"partial-{os.getpid()}"
        partial.mkdir(parents=True)
        try:
            (partial / "pom.xml").write_bytes(self._here.joinpath("pom.xml").read_bytes())
            copy = ["dependency:copy-dependencies", f"-DoutputDirectory={partial / 'libs'}"]
            run(["mvn", "-q", "-B", "-f", str(partial / "pom.xml"), *copy], MAVEN_S)
            (partial / "libs").rename(libs)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _compiled(self, folder: Path, libs: Path) -> Path:
        """Compile the source unless already done; return the folder of its classes."""
        source = self._here.joinpath(SOURCE).read_bytes()
        classes = folder / f"classes-{hashlib.sha256(source).hexdigest()[:12]}"
        if not classes.exists():
            partial = folder / f"partial-{os.getpid()}"
            partial.mkdir()
            (partial / SOURCE).write_bytes(source)
            run(["javac", "-d", str(partial / "classes"), "-cp", f"{libs}/*", str(partial / SOURCE)], JAVAC_S)
            (partial / "classes").rename(classes)
            shutil.rmtree(partial)
        return classes
