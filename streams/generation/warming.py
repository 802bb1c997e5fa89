"""Copy made before anyone asks for it, the most frequent patterns first, at a pace that leaves room for customers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from processors.pages.copywriting import copy_fields
from schemas.errors import LpstreamError
from schemas.generation import GenerationRequest
from streams.generation.mix import Pattern
from streams.generation.services import CopyServices

OnProgress = Callable[[int, int], None]
CAPS = {"cap_lp", "cap_day", "cap_month"}


@dataclass(slots=True)
class Figures:
    """How many patterns were there already, were made, could not be made; what that cost (yen) and took (s)."""

    there: int = 0
    made: int = 0
    failed: int = 0
    yen: float = 0.0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


class Warming:
    """One run over some patterns."""

    def __init__(self, desk: CopyServices, on_progress: OnProgress = lambda *_: None) -> None:
        self._desk = desk
        self._on_progress = on_progress
        self._figures = Figures()
        self._stopped_by = ""

    async def run(self, patterns: Sequence[Pattern], at_once: int) -> Figures:
        """Make what is missing, so many at once; LpstreamError when a cap ends it, or no provider is configured."""
        if not self._desk.routers.by_tier["fast"].configured:
            raise LpstreamError("LPSTREAM_LLM_PROVIDERS: no provider is set, so there is no copy to be made beforehand")
        started = time.monotonic()
        waiting = iter(patterns)
        done = 0

        async def work() -> None:
            nonlocal done
            for pattern in waiting:
                if self._stopped_by:
                    return
                await self._one(pattern)
                done += 1
                self._on_progress(done, len(patterns))

        await asyncio.gather(*(work() for _ in range(at_once)))
        self._figures.seconds = round(time.monotonic() - started, 1)
        if self._stopped_by:
            raise LpstreamError(
                f"{self._stopped_by}: warming stopped after {self._figures.made} patterns; "
                "raise [warming] in the tenants file, or go on tomorrow"
            )
        return self._figures

    async def _one(self, pattern: Pattern) -> None:
        writer, figures = self._desk.copywriter, self._figures
        order = writer.background_order(copy_fields(GenerationRequest.model_validate(pattern.request(0))))
        found = await self._desk.cache.get(order.key, order.pattern)
        if found is not None and not found.stale:
            figures.there += 1
            return
        draft = await writer.make(order)
        figures.yen = round(figures.yen + draft.trail.cost_micro_jpy / 1_000_000, 2)
        if capped := CAPS.intersection(draft.causes.values()):
            self._stopped_by = sorted(capped)[0]
        if draft.causes:
            figures.failed += 1
        else:
            figures.made += 1
