"""The smallest layout of a region that holds a load with a given availability.

A part is a pool (any instances that are up share the load) or a quorum (each node holds the whole load, and a majority
must be up). Instances fail independently, with the availability of their kind of machine. The providers' own services
(load balancer, CDN, S3) are not counted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["pool", "quorum", "single"]
Machine = Literal["on demand", "spot"]
MOST_INSTANCES = 200
HEADROOM = 1.5  # factor on measured cores, because the cores were fully busy during the measurements, and on memory
DATA_SHARE = 0.75  # of a node's memory: the rewrite of the append-only file runs in a fork


@dataclass(frozen=True, slots=True)
class Size:
    """A type of instance: their number, and vCPU, GB of memory and GB of disk of each.

    `arm` says whether its image runs on arm64. `partitions` are those of the topic that the instances read; 0: none.
    """

    count: float
    vcpu: float
    gb: float
    disk_gb: float = 0.0
    machine: Machine = "on demand"
    needed: int = 1
    arm: bool = True
    partitions: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the layout with its smallest instance and the cores that a unit of work needs.

    `work` maps names of loads to cores (`thousand_beacons_s`, `pages_s`), `memory` to GB of data in memory
    (`kept_pages`: pages of a month), `disk` to GB of disk (`log_gb`: the log on a broker), and `most` to the most of a
    load that one instance takes (`connections`). `nodes` is the least number of instances.
    `size.partitions` are the partitions of the part's topic, each of which one instance reads, and takes `partition_gb`
    of a broker's disk. `on_one_host` is the number of its instances in the compose file.
    """

    kind: Kind
    size: Size
    work: Mapping[str, float]
    nodes: int = 1
    spot: bool = False
    memory: Mapping[str, float] = field(default_factory=dict)
    disk: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    partition_gb: float = 0.0
    on_one_host: int = 1

    def data_gb(self, load: Mapping[str, float]) -> float:
        """Return the GB of data in memory for a load, with headroom."""
        return HEADROOM * sum(gb * load[name] for name, gb in self.memory.items())

    def cores(self, load: Mapping[str, float]) -> float:
        """Return the cores for a load, with headroom."""
        return HEADROOM * sum(cores * load[name] for name, cores in self.work.items())

    def stored_gb(self, load: Mapping[str, float]) -> float:
        """Return the GB of disk for a load."""
        return sum(gb * load[name] for name, gb in self.disk.items())

    def working(self, load: Mapping[str, float]) -> tuple[int, int]:
        """Return the least instances of a pool that hold a load, and the partitions of their topic.

        They are more partitions than now if one of them is too much for an instance.
        """
        least = max(1, math.ceil(self.cores(load) / self.size.vcpu))
        least = max([least, *(math.ceil(load[name] / most) for name, most in self.most.items())])
        now = self.size.partitions
        for count in range(least, now + 1):
            if busiest(count, now) * self.cores(load) <= self.size.vcpu:
                return count, now
        return least, least if now else 0


def busiest(count: int, partitions: int) -> float:
    """Return the largest share of a load on one of `count` instances. One instance reads a partition."""
    return math.ceil(partitions / min(count, partitions)) / partitions if partitions else 1 / count


def up(count: int, needed: int, availability: float) -> float:
    """Return the probability that at least `needed` of `count` independent instances are up."""
    return sum(
        math.comb(count, alive) * availability**alive * (1 - availability) ** (count - alive)
        for alive in range(needed, count + 1)
    )


def smallest(
    part: Part, load: Mapping[str, float], machines: Mapping[Machine, tuple[float, float]], goal: float
) -> Size:
    """Return the cheapest instances that hold the load with the probability `goal`.

    `machines` maps kinds of machines to their availability and their price, as a factor of the price on demand.
    """
    if part.kind == "single":
        return part.size
    if part.kind == "quorum":
        return _quorum(part, load, machines["on demand"][0], goal)
    needed, partitions = part.working(load)
    kinds: list[Machine] = ["on demand", "spot"] if part.spot else ["on demand"]
    pools = [(_pool(part, needed, machines[kind][0], goal), kind) for kind in kinds]
    count, machine = min(pools, key=lambda pool: pool[0] * machines[pool[1]][1])
    return replace(part.size, count=count, needed=needed, machine=machine, partitions=partitions)


def _pool(part: Part, needed: int, availability: float, goal: float) -> int:
    count = max(needed, part.nodes)
    while up(count, needed, availability) < goal and count < MOST_INSTANCES + needed:
        count += 1
    return count


def _quorum(part: Part, load: Mapping[str, float], availability: float, goal: float) -> Size:
    """Return nodes with enough cores, memory and disk for the whole load, in doubled sizes."""
    vcpu, gb, disk_gb, count = part.size.vcpu, part.size.gb, part.size.disk_gb, part.nodes
    while disk_gb < part.stored_gb(load):
        disk_gb = max(1.0, 2 * disk_gb)
    while gb * DATA_SHARE < part.data_gb(load):
        gb *= 2
    while vcpu < part.cores(load):
        vcpu *= 2
    while up(count, count // 2 + 1, availability) < goal and count < MOST_INSTANCES:
        count += 2
    return replace(part.size, count=count, vcpu=vcpu, gb=gb, disk_gb=disk_gb, needed=count // 2 + 1)


def layout(
    parts: Mapping[str, Part],
    load: dict[str, float],
    machines: Mapping[Machine, tuple[float, float]],
    availability: float,
) -> dict[str, Size]:
    """Return the instances of every part. All parts together hold the load with the given availability."""
    serving = sum(part.kind != "single" for part in parts.values())
    goal = availability ** (1 / max(serving, 1))
    pools = {name: smallest(part, load, machines, goal) for name, part in parts.items() if part.kind == "pool"}
    load = load | {"log_gb": log_gb(parts, pools)}
    return {name: pools.get(name) or smallest(part, load, machines, goal) for name, part in parts.items()}


def log_gb(parts: Mapping[str, Part], sizes: Mapping[str, Size]) -> float:
    """Return the most GB of the log on a broker's disk."""
    return sum(parts[name].partition_gb * size.partitions for name, size in sizes.items() if name in parts)


def shortages(parts: Mapping[str, Part], sizes: Mapping[str, Size], load: Mapping[str, float]) -> list[str]:
    """Return a line for each thing that instances lack for a load."""
    load = {**load, "log_gb": log_gb(parts, sizes)}
    lines: list[str] = []
    for name, size in sizes.items():
        part = parts.get(name)
        if part is not None and part.kind != "single":
            lines += _pool_lacks(name, part, size, load) if part.kind == "pool" else _node_lacks(name, part, size, load)
    return lines


def _pool_lacks(name: str, part: Part, size: Size, load: Mapping[str, float]) -> list[str]:
    count = int(size.count)
    cores = busiest(count, size.partitions) * part.cores(load)
    lines = _too_small(name, "vCPU for the busiest instance", size.vcpu, cores)
    if lines and count >= size.partitions > 0:
        lines = [f"{name}: {size.partitions} partitions are too few, because one instance reads each"]
    for each, most in part.most.items():
        lines += _too_small(name, f"{each} in all instances", most * count, load[each])
    return lines


def _node_lacks(name: str, part: Part, size: Size, load: Mapping[str, float]) -> list[str]:
    return [
        *_too_small(name, "vCPU", size.vcpu, part.cores(load)),
        *_too_small(name, "GB of memory for data", size.gb * DATA_SHARE, part.data_gb(load)),
        *_too_small(name, "GB of disk", size.disk_gb, part.stored_gb(load)),
    ]


def _too_small(name: str, of: str, has: float, needs: float) -> list[str]:
    enough = has >= needs or math.isclose(has, needs)
    return [] if enough else [f"{name}: has {has:,.12g} {of}, and needs {needs:,.1f}"]


def one_host_lacks(
    parts: Mapping[str, Part], sizes: Mapping[str, Size], machine: Size, load: Mapping[str, float]
) -> list[str]:
    """Return a line for each resource that one machine lacks. `sizes` are the smallest for the load."""
    cores = gb = disk_gb = 0.0
    for name, part in parts.items():
        count = part.on_one_host * (sizes[name].needed if part.kind == "pool" else 1)
        cores += part.on_one_host * part.cores(load)
        gb += count * sizes[name].gb
        disk_gb += count * sizes[name].disk_gb
    return [
        *_too_small("machine", "vCPU", machine.vcpu, cores),
        *_too_small("machine", "GB of memory", machine.gb, gb),
        *_too_small("machine", "GB of disk", machine.disk_gb, disk_gb),
    ]


def availability_of(
    parts: Mapping[str, Part], sizes: Mapping[str, Size], machines: Mapping[Machine, tuple[float, float]]
) -> float:
    """Return the probability that every part but the single ones has the instances that it needs."""
    serving = [sizes[name] for name, part in parts.items() if part.kind != "single"]
    return math.prod(up(int(size.count), size.needed, machines[size.machine][0]) for size in serving)
