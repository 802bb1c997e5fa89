"""The price file: `prices.toml` beside this module, or another file of the same form."""

from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.toml_files import read_toml

Amount = Annotated[float, Field(ge=0)]


class Strict(BaseModel):
    """A base model that rejects unknown keys, because they are misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Price(Strict):
    """A price in US dollars, its source, and another page that has the same price."""

    usd: Amount
    source: str
    second: str | None = None


class Figure(Strict):
    """A measured figure and its source."""

    value: Amount
    source: str


class Limits(Strict):
    """The limits of the plan."""

    infrastructure_yen_month: Amount
    api_yen_per_lp: Amount
    storage_gb_month: Amount
    availability: Annotated[float, Field(gt=0, lt=1)]


class Work(Strict):
    """A workload by its peak."""

    name: str
    connections: Amount
    pages_a_minute: Amount


class Machine(Strict):
    """The size of an instance."""

    vcpu: Annotated[float, Field(gt=0)]
    gb: Amount
    disk_gb: Amount = 0


class Planned(Machine):
    """Instances of the document: their number, and how many must be up."""

    count: Annotated[int, Field(ge=1)]
    needed: Annotated[int, Field(ge=1)] = 1


class Part(Machine):
    """A part of the recommended layout. `beacons` and `pages` name measured figures.

    A part that holds state has identities of beacons, copy and results in memory. `connections` are the most of one
    instance. `topic` names the topics that a part reads, with their `partitions` and the GB of a broker's disk that one
    takes. `on_one_host` is the number of its instances in the compose file.
    """

    kind: Literal["pool", "quorum", "single"]
    nodes: Annotated[int, Field(ge=1)] = 1
    spot: bool = False
    arm: bool = True
    beacons: str | None = None
    pages: str | None = None
    holds_state: bool = False
    holds_hot_days: bool = False
    holds_log: bool = False
    connections: Annotated[float, Field(gt=0)] | None = None
    topic: str = ""
    partitions: Annotated[int, Field(ge=0)] = 0
    partition_gb: Amount = 0
    on_one_host: Annotated[int, Field(ge=0)] = 1


class Way(Strict):
    """A deployment option: the smallest sizes, the plan's sizes, or one machine."""

    name: str
    regions: Annotated[int, Field(ge=1)]
    page_regions: Annotated[int, Field(ge=1)] = 1
    processor: Literal["x86", "arm"] = "x86"
    sizes: Literal["smallest", "plan"] | None = None
    machine: Machine | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.sizes is None) is (self.machine is None):
            raise ValueError("give either sizes or machine")
        return self


class PriceFile(Strict):
    """The whole price file."""

    dated: date
    jpy_per_usd: Annotated[float, Field(gt=0)]
    prices: dict[str, Price]
    limits: Limits
    measured: dict[str, Figure]
    workload: Annotated[list[Work], Field(min_length=1)]
    part: dict[str, Part]
    plan: dict[str, Planned]
    option: Annotated[list[Way], Field(min_length=1)]

    @model_validator(mode="after")
    def _figures_exist(self) -> Self:
        names = {name for part in self.part.values() for name in (part.beacons, part.pages) if name}
        if unknown := sorted(names - self.measured.keys()):
            raise ValueError(f"part: {', '.join(unknown)}: give this figure under measured")
        return self


@dataclass(frozen=True, slots=True)
class Read:
    """A loaded price file and its name."""

    name: str
    content: PriceFile


def load_prices(path: Path | None = None) -> Read:
    """Load the price file (None: ours). Raise SettingError with the cause if it is invalid."""
    source = path or files("infra").joinpath("prices.toml")
    return Read(source.name, read_toml(PriceFile, source, f"--prices {source}"))
