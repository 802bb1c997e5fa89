"""The load driver's connections with file descriptors above the 1,024 of select(2)."""

import resource
import subprocess
import sys
from importlib.util import find_spec

import pytest

PROGRAM = """
import os, socket
from streams.proof.verify import driver

held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1_100)]
ours, theirs = socket.socketpair()
assert ours.fileno() > 1_023
pool = driver.ConnectionPool("127.0.0.1", 1, "127.0.0.1", 1)
alive = [pool._is_socket_alive(None), pool._is_socket_alive(ours)]
theirs.close()
alive.append(pool._is_socket_alive(ours))
ours.close()
print(alive, pool._is_socket_alive(ours))
"""


# find_spec does not import locust: gevent would patch the sockets of all tests.
@pytest.mark.skipif(find_spec("locust") is None, reason="the extra `verify` is not installed")
def test_connections_above_1024_descriptors_are_kept() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1_200:
        pytest.skip("fewer than 1,200 files may be open here")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[False, True, False] False", done.stderr
