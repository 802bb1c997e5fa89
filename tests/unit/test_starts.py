"""Starts that fail with one message: a port in use, a wrong setting, an output that is full.

An edge takes connections only when it is ready.
"""

import asyncio
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from edge_listeners import MemorySender
from typer.testing import CliRunner

from infra.tenants import Tenants
from schemas.errors import SettingError
from streams.__main__ import app
from streams.cli.services import _metrics_ports
from streams.edge import server
from streams.edge.beacons.sender import Sender
from streams.edge.http.admission import Admission
from streams.edge.processes import run_edge
from streams.edge.server import Stop, listeners, serve
from streams.edge.site.snippet import Snippet
from streams.runtime.listening import bound, listen, listening
from streams.runtime.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LPSTREAM_")]:
        monkeypatch.delenv(name)


def at(*ports: int, processes: int = 1) -> Settings:
    return load_settings(edge_port=ports[0], api_port=ports[1], edge_processes=processes)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "", "::1"])  # noqa: S104
def test_a_second_edge_on_a_port_in_use_names_the_setting(host: str) -> None:
    with listening(host, 0, "FIRST") as first:
        port = first.getsockname()[1]
        with pytest.raises(SettingError, match=rf"^LPSTREAM_API_PORT: {port} of .* is in use"):
            listening(host, port, "LPSTREAM_API_PORT")


def test_an_edge_does_not_join_the_processes_of_another() -> None:
    with listening("127.0.0.1", 0, "FIRST", shared=True) as first:
        port = first.getsockname()[1]
        listening("127.0.0.1", port, "SECOND", shared=True).close()  # another process of the same edge
        with pytest.raises(SettingError, match="LPSTREAM_EDGE_PORT"):
            listeners(at(port, 0))


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("shared", [False, True])
def test_several_processes_do_not_start_on_a_port_in_use(position: int, shared: bool) -> None:
    with listening("127.0.0.1", 0, "FIRST", shared=shared) as first, socket.create_server(("127.0.0.1", 0)) as free:
        taken, other = first.getsockname()[1], free.getsockname()[1]
        free.close()
        ports = (taken, other) if position == 0 else (other, taken)
        with pytest.raises(SettingError, match="LPSTREAM_EDGE_PORT" if position == 0 else "LPSTREAM_API_PORT"):
            run_edge(at(*ports, processes=2))


def test_an_edge_starts_again_on_its_port_while_old_connections_end() -> None:
    with listening("127.0.0.1", 0, "FIRST") as first:
        port = first.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = first.accept()
        served.close()  # the server closes first, so its side waits in TIME_WAIT
        client.close()
    listening("127.0.0.1", port, "SECOND").close()


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


async def waits_for_ever(*_: object) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    file = tmp_path / "tenants.toml"
    file.write_text('[[tenant]]\nid = "demo"\nlp_ids = ["*"]\n')
    return file


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("waits_for", ["Kafka", "the stores"])
async def test_an_edge_that_is_not_ready_refuses_connections(
    monkeypatch: pytest.MonkeyPatch, tenants: Path, shared: bool, waits_for: str
) -> None:
    begun = asyncio.Event()

    async def never(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "wait_for_brokers" if waits_for == "Kafka" else "open_services", never)
    ports = free_ports()
    settings = load_settings(edge_port=ports[0], api_port=ports[1], tenants_file=tenants)
    sender = None if waits_for == "Kafka" else cast(Sender, object())
    starting = asyncio.create_task(serve(settings, Stop(), sender, shared=shared))
    await begun.wait()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)


@pytest.mark.parametrize("shared", [False, True])
async def test_an_edge_that_is_ready_answers(monkeypatch: pytest.MonkeyPatch, tenants: Path, shared: bool) -> None:
    ports, stop = free_ports(), Stop()
    settings = load_settings(edge_port=ports[0], api_port=ports[1], tenants_file=tenants)
    sender = MemorySender(settings)

    async def opened(*_: Any) -> Any:
        def another() -> SimpleNamespace:
            admission = Admission(settings, Tenants.load(tenants, set()))
            return SimpleNamespace(
                admission=admission, sender=sender, ending=False, close=sender.stop, for_another_listener=another
            )

        return another()

    monkeypatch.setattr(server, "open_services", opened)
    monkeypatch.setattr(server, "tune_collector", lambda: None)
    monkeypatch.setattr(gc, "callbacks", [])
    running = asyncio.create_task(serve(settings, stop, cast(Sender, sender), shared=shared))
    async with aiohttp.ClientSession() as session:
        for port in ports:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                        assert answer.status == 200
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.01)
    stop.drain()
    stop.drain()
    await running


@pytest.mark.parametrize("position", [0, 1])
async def test_an_edge_names_a_port_in_use_before_it_waits(
    monkeypatch: pytest.MonkeyPatch, tenants: Path, position: int
) -> None:
    monkeypatch.setattr(server, "wait_for_brokers", waits_for_ever)
    with listening("127.0.0.1", 0, "FIRST") as first:
        ports = [*free_ports()]
        ports[position] = first.getsockname()[1]
        settings = load_settings(edge_port=ports[0], api_port=ports[1], tenants_file=tenants)
        with pytest.raises(SettingError, match="LPSTREAM_EDGE_PORT" if position == 0 else "LPSTREAM_API_PORT"):
            await serve(settings, Stop())


async def test_an_edge_that_stops_before_kafka_answers_frees_its_ports(
    monkeypatch: pytest.MonkeyPatch, tenants: Path
) -> None:
    monkeypatch.setattr(server, "wait_for_brokers", waits_for_ever)
    ports, stop = free_ports(), Stop()
    stop.drain()
    settings = load_settings(edge_port=ports[0], api_port=ports[1], tenants_file=tenants)
    await serve(settings, stop)
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_process_that_starts_takes_no_connections_from_the_others() -> None:
    with listening("127.0.0.1", 0, "FIRST", shared=True) as first:
        port = first.getsockname()[1]
        with bound("127.0.0.1", port, "SECOND", shared=True):
            for _ in range(40):
                with socket.create_connection(("127.0.0.1", port)):
                    first.accept()[0].close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_another_program_takes_meanwhile_is_named(host: str) -> None:
    with bound(host, 0, "FIRST") as first:
        port = first.getsockname()[1]
        with (
            socket.create_server((host, port), family=first.family),
            pytest.raises(SettingError, match=rf"^FIRST: {port} of .* is in use"),
        ):
            listen(first, host, port, "FIRST")


@pytest.mark.parametrize(("host", "reason"), [("192.0.2.1", "Cannot assign"), ("nowhere.invalid", "")])
def test_an_address_that_cannot_be_bound_names_its_settings(host: str, reason: str) -> None:
    with pytest.raises(
        SettingError, match=f"^LPSTREAM_EDGE_HOST, LPSTREAM_EDGE_PORT: {host} 0 cannot be bound: {reason}"
    ):
        listening(host, 0, "LPSTREAM_EDGE_PORT")


def test_all_workers_have_metrics_on_ports_of_their_own() -> None:
    assert list(_metrics_ports(load_settings(worker_metrics_port=9_000)).values()) == [9_000, 9_001, 9_002]
    assert set(_metrics_ports(load_settings()).values()) == {0}
    for port in (8_079, 8_078, 65_535, 65_534):
        with pytest.raises(SettingError, match=f"LPSTREAM_WORKER_METRICS_PORT: {port}"):
            _metrics_ports(load_settings(worker_metrics_port=port))


STARTS = ("up", "demo", "verify --scenario normal --out", "bench --only edge --out")


@pytest.mark.parametrize(
    ("command", "setting"),
    [*((command, "EDGE_PROCESSES") for command in STARTS), ("up", "JPY_PER_USD"), ("up", "ALLOWED_ORIGINS")],
)
def test_a_wrong_setting_ends_a_start_before_any_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, setting: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"LPSTREAM_{setting}", "two")
    words = [*command.split(), *([str(tmp_path / "out")] if command.endswith("--out") else [])]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, SettingError) and f"LPSTREAM_{setting}" in str(done.exception), done.exception
    assert not list(tmp_path.rglob("lock")), "a stack has started"


def test_a_full_disk_ends_a_command_with_a_message() -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "streams", "--version"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("lpstream: cannot write the output: No space left on device")


def test_a_command_runs_with_closed_outputs() -> None:
    words = f"exec {sys.executable} -m streams settings >&- 2>&-"
    assert subprocess.run(["sh", "-c", words], check=False).returncode == 0


def test_the_snippets_tag_is_markup_whatever_the_address() -> None:
    tag = Snippet("b", "m", "digest", "sha384-x").tag('https://a.example/"><b>&', '"<x>')  # type: ignore[arg-type]
    assert 'src="https://a.example/&quot;&gt;&lt;b&gt;&amp;/t.digest.js"' in tag
    assert 'data-lp-id="&quot;&lt;x&gt;"' in tag and tag.count("<") == 2
