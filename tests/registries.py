"""Schema registries for tests.

Apicurio's, which speaks Confluent's protocol, or a small one in memory.

Karapace and Confluent's registry are in no package index that a build can reach; Apicurio Registry is on Maven Central.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
from aiohttp import web
from fastavro.schema import to_parsing_canonical_form
from patience import PATIENCE_S

from infra.embedded.kafka import JARS
from infra.embedded.process import ChildProcess
from streams.local.installation import answers

VERSION = "2.6.13.Final"
CACHE = JARS.parent / "registry" / VERSION
COORDINATES = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"


def is_fetched() -> bool:
    """Return whether Apicurio Registry is already downloaded."""
    return (CACHE / "lib").is_dir() and shutil.which("java") is not None


def fetch() -> None:
    """Download Apicurio Registry with Maven (142 MB, once)."""
    if is_fetched():
        return
    partial = CACHE.with_name(f"{VERSION}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    args = ["mvn", "-q", "-B", plugin, f"-Dartifact={COORDINATES}", f"-DoutputDirectory={partial}"]
    subprocess.run(args, check=True, timeout=600)
    archive = next(partial.glob("*.tar.gz"))
    with tarfile.open(archive) as packed:
        packed.extractall(partial, filter="data")
    archive.unlink()
    partial.rename(CACHE)


@contextlib.contextmanager
def apicurio(folder: Path) -> Iterator[str]:
    """Run Apicurio Registry in memory; yield its address for Confluent's protocol."""
    port = _free_port()
    child = ChildProcess(
        "registry",
        ["java", "-Xmx256m", "-XX:+UseSerialGC", "-jar", str(next(CACHE.glob("*-runner.jar")))],
        log=folder / "registry.log",
        env={"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port)},
        cwd=CACHE,
    )
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        child.start()
        child.wait_ready(lambda: answers(f"{url}/subjects"), PATIENCE_S)
        _compatible_backwards(url)
        yield url
    finally:
        child.stop()


def _compatible_backwards(url: str) -> None:
    """Set backward compatibility, the default of Confluent's registry and Karapace."""
    request = urllib.request.Request(
        f"{url}/config",
        data=b'{"compatibility":"BACKWARD"}',
        method="PUT",
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SmallRegistry:
    """A small registry in memory with the calls that the edge uses, in its own thread.

    `away`: it answers only 503.

    A schema is compatible if it can read data of the last one; the check covers fields of records only.
    """

    def __init__(self) -> None:
        self.url = ""
        self.away = False
        self.calls = 0
        self._texts: list[str] = []
        self._references: dict[int, list[dict[str, Any]]] = {}
        self._subjects: dict[str, list[int]] = {}
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        threading.Thread(target=self._run, name="registry", daemon=True).start()
        self._listening.wait(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._listening.set()
        self._loop.run_forever()

    def stop(self) -> None:
        """Stop the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_get("/subjects", self._list)
        app.router.add_post("/subjects/{subject}/versions", self._register)
        app.router.add_post("/subjects/{subject}", self._look_up)
        app.router.add_get("/subjects/{subject}/versions/{version}", self._version)
        app.router.add_get("/schemas/ids/{id}", self._by_id)
        app.router.add_get("/schemas/ids/{id}/versions", self._versions)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def fill(self, count: int) -> None:
        """Add `count` other schemas, so that new ids do not start at 1."""
        self._texts += [f'{{"type":"fixed","name":"F{number}","size":{number + 1}}}' for number in range(count)]

    def add(self, subject: str, text: str, *references: str) -> int:
        """Add a schema that names types of the first versions of other subjects. Return its id."""
        self._texts.append(text)
        number = len(self._texts)
        self._subjects.setdefault(subject, []).append(number)
        self._references[number] = [{"name": name, "subject": name, "version": 1} for name in references]
        return number

    def _answer(self, value: Any, status: int = 200) -> web.Response:
        self.calls += 1
        if self.away:
            return web.json_response({"error_code": 50003, "message": "away"}, status=503)
        return web.json_response(value, status=status)

    async def _list(self, request: web.Request) -> web.Response:
        return self._answer(sorted(self._subjects))

    async def _register(self, request: web.Request) -> web.Response:
        text = (await request.json())["schema"]
        try:
            form = to_parsing_canonical_form(json.loads(text))
        except Exception:  # noqa: BLE001 - any error means an invalid schema
            return self._answer({"error_code": 42201, "message": "no schema"}, 422)
        ids = self._subjects.setdefault(request.match_info["subject"], [])
        known = next((at + 1 for at, one in enumerate(self._texts) if _form(one) == form), None)
        if known is None or known not in ids:
            if ids and not _reads(self._texts[ids[-1] - 1], text):
                return self._answer({"error_code": 409, "message": "incompatible"}, 409)
            if known is None:
                self._texts.append(text)
                known = len(self._texts)
            ids.append(known)
        return self._answer({"id": known})

    async def _look_up(self, request: web.Request) -> web.Response:
        form = _form((await request.json())["schema"])
        for known in self._subjects.get(request.match_info["subject"], []):
            if _form(self._texts[known - 1]) == form:
                return self._answer({"id": known})
        return self._answer({"error_code": 40403, "message": "not found"}, 404)

    async def _by_id(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if not 1 <= number <= len(self._texts):
            return self._answer({"error_code": 40403, "message": "not found"}, 404)
        return self._answer(self._stored(number))

    async def _version(self, request: web.Request) -> web.Response:
        numbers, version = self._subjects[request.match_info["subject"]], int(request.match_info["version"])
        return self._answer(self._stored(numbers[version - 1]))

    def _stored(self, number: int) -> dict[str, Any]:
        references = self._references.get(number)
        return {"schema": self._texts[number - 1]} | ({"references": references} if references else {})

    async def _versions(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        return self._answer([{"subject": name, "version": 1} for name, ids in self._subjects.items() if number in ids])


def _form(text: str) -> str:
    return str(to_parsing_canonical_form(json.loads(text)))


def _reads(old: str, new: str) -> bool:
    """Return whether the new schema can read data of the old one; it checks fields of records only."""
    before, after = json.loads(old), json.loads(new)
    if not isinstance(before, dict) or not isinstance(after, dict) or "fields" not in after or "fields" not in before:
        return bool(_form(old) == _form(new))
    names = {field["name"]: field["type"] for field in before["fields"]}
    fastavro.parse_schema(after, named_schemas={})
    return all(names.get(field["name"], field["type"]) == field["type"] for field in after["fields"]) and all(
        "default" in field for field in after["fields"] if field["name"] not in names
    )
