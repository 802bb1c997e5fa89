"""The frame of the benchmarks: a stack of their own, its services, and the rows of the table."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.embedded.kafka import Choice
from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.local.prepare import new_stack, prepare, settings_of

Row = dict[str, Any]
Say = Callable[[str], None]


def quiet(_: str) -> None:
    """Say nothing."""


@contextlib.contextmanager
def own_stack(say: Say, kafka: Choice = "auto") -> Iterator[Stack]:
    """Run a stack in a temporary folder while the block runs."""
    with tempfile.TemporaryDirectory() as folder, new_stack(Path(folder), kafka, say) as stack:
        yield stack


@contextlib.contextmanager
def own_services(
    say: Say, kafka: Choice = "auto", overrides: Mapping[str, str] | None = None
) -> Iterator[tuple[Stack, Installation]]:
    """Run a stack and all services on it while the block runs. `overrides` are settings of the services."""
    with own_stack(say, kafka) as stack:
        asyncio.run(prepare(settings_of(stack)))
        with Installation(stack, say, overrides) as services:
            yield stack, services


def row(
    row_id: str,
    reference: str,
    value: float,
    unit: str,
    against: float | None,
    detail: Row,
    *,
    digits: int | None = None,
    ratio_digits: int = 2,
) -> Row:
    """Return a row of the table, whose value is compared with `against`, the value of the reference.

    Both are rounded to `digits`, to whole numbers without them.
    """
    return {
        "id": row_id,
        "reference": reference,
        "value": round(value, digits),
        "unit": unit,
        "reference_value": None if against is None else round(against, digits),
        "ratio": round(value / against, ratio_digits) if against else None,
        "detail": detail,
    }
