"""The price file: `prices.toml` beside this module, or another file of the same form."""

from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from infra.toml_files import read_toml

Amount = Annotated[float, Field(ge=0)]


class Strict(BaseModel):
    """A base model that rejects unknown keys, because they are misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(Strict):
    """A price in US dollars and its source."""

    usd: Amount
    source: str


class Figure(Strict):
    """A measured figure and its source."""

    value: Amount
    source: str


class Limits(Strict):
    """The limits of the plan."""

    infrastructure_yen_month: Amount
    api_yen_per_lp: Amount
    storage_gb_month: Amount


class Work(Strict):
    """A workload."""

    name: str
    visits_a_day: Amount
    pages_a_month: Amount


class Part(Strict):
    """A kind of instance in each region."""

    count: Annotated[int, Field(ge=1)]
    vcpu: Amount
    gb: Amount
    disk_gb: Amount = 0


class Way(Strict):
    """A deployment option. With `vcpu`, `gb` and `disk_gb` it is one machine."""

    name: str
    regions: Annotated[int, Field(ge=1)]
    vcpu: Amount | None = None
    gb: Amount = 0
    disk_gb: Amount = 0


class PriceFile(Strict):
    """The whole price file."""

    dated: date
    jpy_per_usd: Annotated[float, Field(gt=0)]
    prices: dict[str, Price]
    limits: Limits
    measured: dict[str, Figure]
    workload: Annotated[list[Work], Field(min_length=1)]
    footprint: dict[str, Part]
    option: Annotated[list[Way], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Read:
    """A loaded price file and its name."""

    name: str
    content: PriceFile


def load_prices(path: Path | None = None) -> Read:
    """Load the price file (None: ours). Raise SettingError with the cause if it is invalid."""
    source = path or files("infra").joinpath("prices.toml")
    return Read(source.name, read_toml(PriceFile, source, f"--prices {source}"))
