"""Which stack the tests run on: from containers where a Docker engine answers, else the embedded one."""

import functools
import os
import shutil
from pathlib import Path

from infra.embedded.kafka import apache_obstacle
from infra.embedded.stack import Stack

KAFKA = os.environ.get("LPSTREAM_TEST_KAFKA", "auto")
STACK = os.environ.get("LPSTREAM_TEST_STACK", "auto")


@functools.cache
def containers() -> bool:
    """Return whether stores come from containers. They never do with LPSTREAM_TEST_STACK=embedded."""
    if STACK == "embedded" or KAFKA != "auto" or shutil.which("docker") is None:
        return False
    from containers import docker_answers

    return docker_answers()


def described() -> str:
    """Return the stack in words."""
    if containers():
        return "containers (Apache Kafka, ClickHouse server, Valkey) and SeaweedFS"
    obstacle = apache_obstacle() if KAFKA == "auto" else None
    broker = f"Tansu: {obstacle}" if obstacle else {"tansu": "Tansu"}.get(KAFKA, "Apache Kafka")
    return f"embedded ({broker}, ClickHouse over chDB, Valkey, SeaweedFS)"


def stack_in(folder: Path, *, nodes: int = 1) -> Stack:
    """Return the stack on a folder. Several Kafka nodes are always embedded."""
    if containers() and nodes == 1:
        from containers import ContainerStack

        return ContainerStack(folder, "auto", print)
    return Stack(folder, KAFKA, print, kafka_nodes=nodes)  # type: ignore[arg-type]
