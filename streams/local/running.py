"""The embedded stack with all services on this machine."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.embedded.browser import ensure_chromium
from infra.embedded.kafka import Choice
from infra.embedded.stack import Stack
from streams.local.console import say
from streams.local.installation import Installation
from streams.local.prepare import new_stack, prepare, settings_of


@contextlib.contextmanager
def installation(
    data: Path, kafka: Choice, port: int | None = None, overrides: Mapping[str, str] | None = None
) -> Iterator[tuple[Stack, Installation]]:
    """Yield a running stack and its services with changed settings; stop both at the end."""
    with new_stack(data, kafka, say) as stack:
        settings = settings_of(stack)
        ensure_chromium(settings.chromium, say)
        asyncio.run(prepare(settings, say))
        with Installation(stack, say, overrides, port=port) as services:
            yield stack, services
