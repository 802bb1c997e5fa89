"""REST Proxy v1 and v2, driven by client libraries that nobody here wrote."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.proxy import Proxy
from harness import full_only

pytestmark = [pytest.mark.stack, pytest.mark.covers(), full_only]
CLIENTS = Path(__file__).parents[1] / "rest_clients"


async def lines(*command: str, folder: Path | None = None) -> list[str]:
    """Run a command; return its lines. Fail with its errors."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, (done.stderr + done.stdout)[-3_000:]
    return done.stdout.splitlines()


@pytest.mark.covers(
    "M05", "M06", "M08", "M11", "M15", "M16", "M20", "M22", "M32", "M39", "M41", "M42", "M43"
)  # fmt: skip
async def test_confluents_node_client_drives_the_proxy(proxy: Proxy, topic: str, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("no npm on the path")
    folder = shutil.copytree(CLIENTS / "node", tmp_path / "node")
    await lines("npm", "install", "--silent", "--no-audit", "--no-fund", "kafka-rest@0.0.5", folder=folder)
    printed = await lines("node", "drives.cjs", proxy.url, proxy.token or "", topic, folder=folder)
    calls: dict[str, Any] = {call["name"]: call for call in map(json.loads, printed)}
    answers = {name: call["answer"] for name, call in calls.items() if call["error"] is None}
    assert len(calls) == 17
    assert answers["brokers"] and topic in answers["topics"]
    assert (answers["topic"], answers["partitions"], answers["partition"]) == ([topic, 3], [0, 1, 2], 1)
    produced = ["text", "bytes", "placed", "many", "null", "to partition", "avro", "avro by id"]
    offsets = {name: answers[name]["offsets"] for name in produced if name in answers}
    assert [len(offsets.get(name, [])) for name in produced] == [1, 1, 1, 3, 1, 2, 1, 1], calls
    assert offsets["placed"][0]["partition"] == 2 and {one["partition"] for one in offsets["to partition"]} == {1}
    assert answers["avro"]["value_schema_id"] == answers["avro by id"]["value_schema_id"] > 0
    errors = {name: (call["error"]["status"], call["error"]["code"]) for name, call in calls.items() if call["error"]}
    assert errors.keys() == {"wrong avro", "missing topic", "missing partition", "produce to missing"}
    if proxy.ours:
        assert errors == {
            "wrong avro": (422, 42203),
            "missing topic": (404, 40401),
            "missing partition": (404, 40402),
            "produce to missing": (404, 40401),
        }
    stored = await proxy.records(topic, 11)
    values = [one.value for one in stored if one.value is not None and not one.value.startswith(b"\x00")]
    assert sorted(values) == sorted(
        [b"\x01\x02", *(word.encode() for word in ("a", "b", "c", "one ラーメン", "placed", "x", "y"))]
    )
    assert [one.key for one in stored if one.value is None] == [b"k"]
    assert sorted(one.value[5:] for one in stored if (one.value or b"").startswith(b"\x00")) == [
        b"\x08Avro",
        b"\x0aAgain",
    ]


async def test_a_python_client_produces_json(proxy: Proxy, topic: str, tmp_path: Path) -> None:
    await lines(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    packages = ("nlp-kafka-rest-api==1.0.0", "requests==2.32.5")
    await lines(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages)
    script = str(CLIENTS / "python" / "produces.py")
    printed = await lines(python, script, proxy.url, proxy.token or "", topic)
    assert printed[:2] == ["keys a b c", "keys d"]
    assert not proxy.ours or printed[2] == "error 404 40401"
    stored = {one.key: json.loads(one.value)["payload"] for one in await proxy.records(topic, 4)}
    assert stored == {b'"a"': "one", b'"b"': {"word": "ラーメン"}, b'"c"': [1, None], b'"d"': "more"}
