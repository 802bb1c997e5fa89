"""An edge process with its own settings on a stack, for benchmarks and tests."""

import contextlib
import hashlib
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.embedded.ports import Ports
from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.local.installation import answers

READY_S = 180.0
TENANTS = '[[tenant]]\nid = "demo"\nlp_ids = ["*"]\n\n[[tenant.token]]\nsha256 = "{digest}"\nrole = "operator"\n'


@dataclass(frozen=True, slots=True)
class EdgeProcess:
    """A running edge: its public and private URL, its token and its process."""

    url: str
    api_url: str
    token: str
    child: ChildProcess


@contextlib.contextmanager
def edge_process(
    stack: Stack,
    name: str,
    settings: Mapping[str, str] | None = None,
    *,
    tenants: str = "",
    module: Sequence[str] = ("streams", "edge"),
) -> Iterator[EdgeProcess]:
    """Run an edge while the block runs; the edge is ready when the block begins.

    `tenants` is added to its tenants file.
    """
    ports = Ports(stack.data)
    token = secrets.token_urlsafe(24)
    tenants_file = stack.data / f"{name}.tenants.toml"
    digest = hashlib.sha256(token.encode()).hexdigest()
    tenants_file.write_text(TENANTS.format(digest=digest) + tenants, encoding="utf-8")
    env = stack.env() | {
        "LPSTREAM_EDGE_PORT": str(ports.get(f"{name}.edge")),
        "LPSTREAM_API_PORT": str(ports.get(f"{name}.api")),
        "LPSTREAM_TENANTS_FILE": str(tenants_file),
        **(settings or {}),
    }
    url, api_url = (f"http://127.0.0.1:{env[port]}" for port in ("LPSTREAM_EDGE_PORT", "LPSTREAM_API_PORT"))
    child = ChildProcess(name, [sys.executable, "-m", *module], log=stack.data / "logs" / f"{name}.log", env=env)
    try:
        child.start()
        child.wait_ready(lambda: answers(f"{url}/readyz"), READY_S)
        yield EdgeProcess(url, api_url, token, child)
    finally:
        child.stop()
