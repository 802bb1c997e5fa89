"""Memory limits of containers: file systems in memory, and caches of the programs, fit into them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from production_tools import ROOT
from test_image import compose
from test_kubernetes import RECOMMENDED, REGIONS, built, pods

UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
NGINX = (ROOT / "infra" / "nginx" / "nginx.conf").read_text("utf-8")
MOUNTED_IN_MEMORY = 0.8  # the most of a container's memory: the program needs the rest
PLACES = [*REGIONS, RECOMMENDED]


def size(text: str) -> int:
    """Return the bytes of a size of Compose, Kubernetes, nginx or Redis."""
    number, unit = re.fullmatch(r"(\d+)([kmg]?)i?b?", str(text).lower()).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def option(text: str, name: str) -> int:
    """Return the size that the first `name=…` or `name …` of a text gives."""
    return size(re.search(rf"\b{name}[= ](\w+)", text)[1])  # type: ignore[index]


def of_compose() -> Iterator[tuple[str, int, dict[str, int | None]]]:
    """Yield each service with its memory, and its folders in memory with their sizes."""
    for name, service in compose()["services"].items():
        given = (entry.partition(":") for entry in service.get("tmpfs", []))
        folders = {path: option(options, "size") if "size=" in options else None for path, _, options in given}
        yield name, size(service["deploy"]["resources"]["limits"]["memory"]), folders


def of_kubernetes(region: str) -> Iterator[tuple[str, int, dict[str, int | None]]]:
    """Yield each container as `of_compose` does."""
    for name, pod in pods(built(region)).items():
        in_memory = {
            volume["name"]: volume["emptyDir"].get("sizeLimit")
            for volume in pod.get("volumes", [])
            if volume.get("emptyDir", {}).get("medium") == "Memory"
        }
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
            folders = {path: in_memory[volume] for path, volume in mounts.items() if volume in in_memory}
            sizes = {path: limit and size(limit) for path, limit in folders.items()}
            yield f"{name}/{container['name']}", size(container["resources"]["limits"]["memory"]), sizes


@pytest.mark.parametrize("place", ["compose", *PLACES])
def test_folders_in_memory_are_bounded_and_leave_memory_for_the_program(place: str) -> None:
    containers = list(of_compose() if place == "compose" else of_kubernetes(place))
    assert sum(bool(folders) for _, _, folders in containers) >= 5
    for name, limit, folders in containers:
        assert None not in folders.values(), f"{name} can fill its memory with files: give a size"
        assert sum(bound or 0 for bound in folders.values()) <= MOUNTED_IN_MEMORY * limit, name


@pytest.mark.parametrize("place", PLACES)
def test_every_folder_of_a_pod_has_a_size(place: str) -> None:
    for name, pod in pods(built(place)).items():
        for volume in pod.get("volumes", []):
            assert "emptyDir" not in volume or volume["emptyDir"].get("sizeLimit"), (name, volume["name"])


def nginx_room(place: str) -> tuple[int, int]:
    """Return the size of the folder that holds nginx's cache, and the memory that files cannot take."""
    assert "proxy_cache_path /tmp/" in NGINX
    if place == "compose":
        limit, folders = next((limit, folders) for name, limit, folders in of_compose() if name == "nginx")
        return folders["/tmp"] or 0, limit - (folders["/tmp"] or 0)  # noqa: S108 - in the container
    pod: dict[str, Any] = pods(built(place))["nginx"]
    volume = next(volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "tmp")
    assert "medium" not in volume, "the cache is on disk"
    return size(volume["sizeLimit"]), size(pod["containers"][0]["resources"]["limits"]["memory"])


@pytest.mark.parametrize("place", ["compose", *PLACES])
def test_the_cache_of_nginx_fits_its_folder_and_its_memory(place: str) -> None:
    folder, memory = nginx_room(place)
    # nginx writes first and deletes then, and the folder holds its temporary files, too
    assert option(NGINX, "max_size") + option(NGINX, "min_free") <= folder
    zones = sum(size(found) for found in re.findall(r"zone=\w+:(\w+)", NGINX))
    assert 2 * zones + option(NGINX, "worker_connections") * 2**13 <= memory


@pytest.mark.parametrize("place", ["compose", "base", "plan-sizes"])
def test_the_data_of_redis_fits_its_memory(place: str) -> None:
    folder = ROOT / "infra" / "kubernetes"
    if place == "compose":
        service = compose()["services"]["redis"]
        given, limit = " ".join(service["command"]), service["deploy"]["resources"]["limits"]["memory"]
    else:
        given = (folder / place / "redis.conf").read_text("utf-8")
        text = (folder / place / ("redis.yaml" if place == "base" else "kustomization.yaml")).read_text("utf-8")
        limit = max(re.findall(r"memory: (\d+Gi)", text), key=size)
    assert option(given, "maxmemory") <= 0.8 * size(limit)


def test_the_heap_of_kafka_fits_its_memory() -> None:
    heap = size(re.search(r"-Xmx(\w+)", compose()["x-kafka-settings"]["KAFKA_HEAP_OPTS"])[1])  # type: ignore[index]
    assert heap <= 0.8 * size(compose()["x-kafka"]["deploy"]["resources"]["limits"]["memory"])
