"""The embedded stack without stores: child processes, ports, choice of broker, topics file."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import PATIENCE_S

from infra.embedded.kafka import ApacheKafka, Quorum, Tansu, apache_obstacle, choose_kafka, kafka_version
from infra.embedded.ports import HIGHEST, LOWEST, Ports, claim
from infra.embedded.process import ChildProcess
from infra.kafka.topics import load_topics
from schemas.errors import LpstreamError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def child(tmp_path: Path, code: str) -> ChildProcess:
    return ChildProcess("thing", [sys.executable, "-u", "-c", textwrap.dedent(code)], log=tmp_path / "thing.log")


def test_a_child_becomes_ready_and_can_stop_and_restart(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; print('up'); time.sleep(600)")
    one.start()
    one.wait_ready(lambda: "up" in one.log.read_text(), 10)
    assert one.alive
    assert one.memory_mb() > 1
    one.stop()
    assert not runs(one.pid)
    assert one.returncode == -signal.SIGTERM
    one.start()  # again, as after a crash
    assert one.alive
    one.kill()
    assert "thing was killed by SIGKILL" in one.obituary()


def test_an_early_exit_raises_with_the_log(tmp_path: Path) -> None:
    one = child(tmp_path, "import sys; print('no such disk'); sys.exit(3)")
    one.start()
    with pytest.raises(LpstreamError, match="no such disk") as caught:
        one.wait_ready(lambda: False, 10)
    assert "thing ended with code 3" in str(caught.value)
    assert str(one.log) in str(caught.value)


def test_a_child_without_an_answer_or_program_raises(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; time.sleep(600)")
    one.start()
    try:
        with pytest.raises(LpstreamError, match=r"did not answer within 0\.2 s"):
            one.wait_ready(lambda: False, 0.2)
        with pytest.raises(LpstreamError, match="cancelled"):
            one.wait_ready(lambda: False, 10, lambda: True)
    finally:
        one.kill()
    with pytest.raises(LpstreamError, match="nowhere"):
        ChildProcess("thing", [str(tmp_path / "nowhere")], log=tmp_path / "log").start()


def test_a_child_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    code = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
        time.sleep(600)
    """
    one = child(tmp_path, code)
    one.start()
    one.wait_ready(lambda: one.log.read_text().strip().isdigit(), 10)
    grandchild = int(one.log.read_text())
    assert runs(grandchild)
    one.grace_s = 0.3
    one.stop()
    assert one.returncode == -signal.SIGKILL
    until(lambda: not runs(grandchild))


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; print('up'); time.sleep(600)")
    thread = threading.Thread(target=one.start)
    thread.start()
    thread.join()
    one.wait_ready(lambda: "up" in one.log.read_text(), 10)
    time.sleep(0.2)  # a parent-death signal would arrive when the thread ends
    assert one.alive
    one.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG exists on Linux only")
def test_children_of_a_killed_parent_die(tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from infra.embedded.process import ChildProcess
        one = ChildProcess("thing", {SLEEPER!r}, log=Path({str(tmp_path / "log")!r}))
        one.start()
        print(one.pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert runs(pid)
        parent.kill()
    until(lambda: not runs(pid))


def test_ports_are_stable_and_below_the_ephemeral_range(tmp_path: Path) -> None:
    first = Ports(tmp_path)
    given = [first.get(name) for name in "abcdef"]
    first.save()
    assert len(set(given)) == 6
    assert all(LOWEST <= port <= HIGHEST < 32_768 for port in given)
    again = Ports(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", given[0]))
        other.listen()
        assert again.get("a") != given[0]
        assert [again.get(name) for name in "bcdef"] == given[1:]
    (tmp_path / "ports.json").write_text("{spoilt")
    assert LOWEST <= Ports(tmp_path).get("a") <= HIGHEST


def test_a_claimed_port_cannot_be_claimed_again(tmp_path: Path) -> None:
    port = Ports(tmp_path).get("a")
    assert not claim(port, tmp_path / "other")
    code = "import sys, pathlib; from infra.embedded.ports import claim; print(claim(int(sys.argv[1]), pathlib.Path()))"
    args = [sys.executable, "-c", code, str(port)]
    assert subprocess.run(args, capture_output=True, text=True, check=True).stdout == "False\n"


def fake_tools(folder: Path, monkeypatch: pytest.MonkeyPatch, *, java: str = "21.0.1", mvn: str) -> None:
    folder.mkdir()
    for name, body in {"java": f"echo 'openjdk version \"{java}\"' >&2", "mvn": mvn}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_the_broker_is_tansu_without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    (broker,) = choose_kafka("auto", tmp_path, Ports(tmp_path), say=said.append)
    assert isinstance(broker, Tansu)
    assert "no java and no mvn on the PATH" in said[0]
    assert "memory only" in said[1]
    with pytest.raises(LpstreamError, match="no java and no mvn on the PATH"):
        choose_kafka("apache", tmp_path, Ports(tmp_path))


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tools(tmp_path / "bin", monkeypatch, java="11.0.2", mvn="exit 0")
    assert apache_obstacle() == "java is version 11, 17 is needed"


def test_a_failed_download_falls_back_to_tansu_for_auto_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tools(tmp_path / "bin", monkeypatch, mvn="echo 'Unknown host'; exit 1")
    said: list[str] = []
    jars = tmp_path / "jars"
    (broker,) = choose_kafka("auto", tmp_path, Ports(tmp_path), jars=jars, say=said.append)
    assert isinstance(broker, Tansu)
    assert any("Unknown host" in line for line in said)
    with pytest.raises(LpstreamError, match="Unknown host"):
        choose_kafka("apache", tmp_path, Ports(tmp_path), jars=jars)
    assert not list(jars.glob("libs-*"))
    assert not list(jars.glob("partial-*"))


def test_parallel_starts_download_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mvn = 'for a; do case "$a" in -DoutputDirectory=*) out="${a#*=}";; esac; done\n'
    mvn += f'echo once >> {tmp_path}/calls; sleep 0.3; mkdir -p "$out"; : > "$out/kafka_2.13-9.9.9.jar"'
    fake_tools(tmp_path / "bin", monkeypatch, mvn=mvn)
    jars = tmp_path / "jars"
    brokers = [ApacheKafka(tmp_path / f"{n}", 1, Quorum((2,), "id"), jars=jars, say=lambda _: None) for n in range(4)]
    threads = [threading.Thread(target=broker.fetch) for broker in brokers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "calls").read_text() == "once\n"
    assert [path.name for path in jars.glob("*-*")] == [f"libs-{kafka_version()}"]
    assert brokers[3].version() == "apache kafka 9.9.9"


def test_the_topics_file_has_the_contracts_topics() -> None:
    specs = {spec.name: spec for spec in load_topics()}
    flows = ["heatmap.events", "lp.requests", "lp.steps", "lp.step-results"]
    assert set(specs) == {*flows, *(f"{name}.dlq" for name in flows), "lp.results", "lp.progress", "lp.experiments"}
    assert {name for name, spec in specs.items() if spec.partitions == 3} == {"heatmap.events"}
    assert {spec.partitions for spec in specs.values()} == {3, 12}
    by_log = {"heatmap.events", "lp.requests", "lp.results", "lp.experiments"}
    times = {name: spec.config.get("message.timestamp.type") for name, spec in specs.items()}
    assert times == {name: "LogAppendTime" if name in by_log else None for name in specs}
    assert {specs[name].config["cleanup.policy"] for name in ("lp.results", "lp.experiments")} == {"compact"}
    assert specs["lp.progress"].config["retention.ms"] == "3600000"
    for spec in specs.values():
        if spec.config.get("cleanup.policy") != "compact":
            assert int(spec.config["retention.bytes"]) >= int(spec.config["max.message.bytes"]), spec.name
    for name in flows:  # a dead letter holds the original record and headers
        sizes = [int(specs[topic].config["max.message.bytes"]) for topic in (name, f"{name}.dlq")]
        assert sizes[1] > sizes[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partitions = 0\n[dlq]\n[[topic]]\nname='a'", "at least 1"),
        ("partitions = 1\n[dlq]\n[[topic]]\n", "name"),
        ("partitions = 1\n[dlq]\n[[topic]]\nname='a'\n[[topic]]\nname='a'", "named twice: a"),
        ("partitions = ", "TOMLDecodeError"),
    ],
)
def test_an_invalid_topics_file_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "topics.toml"
    path.write_text(text)
    with pytest.raises(LpstreamError, match=said):
        load_topics(path)


SERVER = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "2"
for number in (3, 4):
    connection = socket.socket(fileno=number).accept()[0]
    connection.sendall(b"%d of %d" % (number, os.getpid()))
    connection.close()
"""


def test_clients_that_connect_during_a_restart_are_served(tmp_path: Path) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    one = ChildProcess("thing", [sys.executable, "-c", SERVER], log=tmp_path / "thing.log", sockets=sockets)
    try:
        for _ in range(2):
            clients = [socket.create_connection(held.getsockname(), timeout=PATIENCE_S) for held in sockets]
            one.start()
            replies = [client.recv(100).decode() for client in clients]
            assert replies == [f"3 of {one.pid}", f"4 of {one.pid}"], one.tail()
            for client in clients:
                client.close()
            while one.alive:
                time.sleep(0.01)
            assert one.returncode == 0
    finally:
        one.kill()
        for held in sockets:
            held.close()


def test_a_child_without_a_log_writes_to_a_stderr_that_is_a_socket() -> None:
    # as under systemd, whose journal is a socket
    script = """
import sys
from infra.embedded.process import ChildProcess
child = ChildProcess("child", [sys.executable, "-c", "print('a line')"], log=None)
child.start()
while child.alive:
    pass
"""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run([sys.executable, "-c", script], stderr=theirs, timeout=PATIENCE_S, check=False)
        assert (done.returncode, ours.recv(100)) == (0, b"a line\n")
