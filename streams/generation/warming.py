"""Warming: copy for frequent patterns, written in advance at a pace that leaves room for customers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from processors.pages.brief import brief_of
from schemas.errors import LpstreamError
from schemas.generation import GenerationRequest
from streams.generation.mix import Pattern
from streams.generation.services import CopyServices

OnProgress = Callable[[int, int], None]
CAPS = {"cap_lp", "cap_day", "cap_month"}


@dataclass(slots=True)
class Figures:
    """The numbers of patterns that were cached already, made and failed; the cost (yen) and the time (s)."""

    there: int = 0
    made: int = 0
    failed: int = 0
    yen: float = 0.0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the figures for JSON."""
        return asdict(self)


class Warming:
    """One run over a list of patterns."""

    def __init__(self, services: CopyServices, on_progress: OnProgress = lambda *_: None) -> None:
        self._services = services
        self._on_progress = on_progress
        self._figures = Figures()
        self._stopped_by = ""

    async def run(self, patterns: Sequence[Pattern], at_once: int) -> Figures:
        """Make missing copy, `at_once` patterns in parallel.

        LpstreamError if a cost cap ends the run, or if no provider is configured.
        """
        if not self._services.routers.by_tier["fast"].configured:
            raise LpstreamError("LPSTREAM_LLM_PROVIDERS: no provider is set; warming needs one")
        started = time.monotonic()
        queue = iter(patterns)
        done = 0

        async def work() -> None:
            nonlocal done
            for pattern in queue:
                if self._stopped_by:
                    return
                await self._warm(pattern)
                done += 1
                self._on_progress(done, len(patterns))

        await asyncio.gather(*(work() for _ in range(at_once)))
        self._figures.seconds = round(time.monotonic() - started, 1)
        if self._stopped_by:
            raise LpstreamError(
                f"{self._stopped_by}: warming stopped after {self._figures.made} patterns; "
                "raise the caps in [warming] of the tenants file, or run it again tomorrow"
            )
        return self._figures

    async def _warm(self, pattern: Pattern) -> None:
        writer, figures = self._services.copywriter, self._figures
        order = writer.background_order(brief_of(GenerationRequest.model_validate(pattern.request(0))))
        hit = await self._services.cache.get(order.key, order.pattern)
        if hit is not None and not hit.stale:
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
