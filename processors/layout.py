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

    `arm` says whether its image runs on arm64.
    """

    count: float
    vcpu: float
    gb: float
    disk_gb: float = 0.0
    machine: Machine = "on demand"
    needed: int = 1
    arm: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the layout with its smallest instance and the cores that a unit of work needs.

    `work` maps names of loads to cores (`thousand_beacons_s`, `pages_s`), `memory` to GB of data in memory
    (`kept_pages`: pages of a month). `nodes` is the least number of instances.
    """

    kind: Kind
    size: Size
    work: Mapping[str, float]
    nodes: int = 1
    spot: bool = False
    memory: Mapping[str, float] = field(default_factory=dict)

    def data_gb(self, load: Mapping[str, float]) -> float:
        """Return the GB of data in memory for a load, with headroom."""
        return HEADROOM * sum(gb * load[name] for name, gb in self.memory.items())

    def cores(self, load: Mapping[str, float]) -> float:
        """Return the cores for a load, with headroom."""
        return HEADROOM * sum(cores * load[name] for name, cores in self.work.items())


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
    needed = max(1, math.ceil(part.cores(load) / part.size.vcpu))
    kinds: list[Machine] = ["on demand", "spot"] if part.spot else ["on demand"]
    pools = [(_pool(part, needed, machines[kind][0], goal), kind) for kind in kinds]
    count, machine = min(pools, key=lambda pool: pool[0] * machines[pool[1]][1])
    return replace(part.size, count=count, needed=needed, machine=machine)


def _pool(part: Part, needed: int, availability: float, goal: float) -> int:
    count = max(needed, part.nodes)
    while up(count, needed, availability) < goal and count < MOST_INSTANCES + needed:
        count += 1
    return count


def _quorum(part: Part, load: Mapping[str, float], availability: float, goal: float) -> Size:
    """Return nodes with enough cores and memory for the whole load, in doubled sizes; disks stay."""
    vcpu, gb, count = part.size.vcpu, part.size.gb, part.nodes
    while gb * DATA_SHARE < part.data_gb(load):
        gb *= 2
    while vcpu < part.cores(load):
        vcpu *= 2
    while up(count, count // 2 + 1, availability) < goal and count < MOST_INSTANCES:
        count += 2
    return replace(part.size, count=count, vcpu=vcpu, gb=gb, needed=count // 2 + 1)


def layout(
    parts: Mapping[str, Part],
    load: Mapping[str, float],
    machines: Mapping[Machine, tuple[float, float]],
    availability: float,
) -> dict[str, Size]:
    """Return the instances of every part. All parts together hold the load with the given availability."""
    serving = sum(part.kind != "single" for part in parts.values())
    goal = availability ** (1 / max(serving, 1))
    return {name: smallest(part, load, machines, goal) for name, part in parts.items()}


def availability_of(
    parts: Mapping[str, Part], sizes: Mapping[str, Size], machines: Mapping[Machine, tuple[float, float]]
) -> float:
    """Return the probability that every part but the single ones has the instances that it needs."""
    serving = [sizes[name] for name, part in parts.items() if part.kind != "single"]
    return math.prod(up(int(size.count), size.needed, machines[size.machine][0]) for size in serving)
