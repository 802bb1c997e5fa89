"""A time limit that does not count a stall of our own event loop."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Answer = TypeVar("Answer")
# A loop that runs a timer later than LATE_S is busy or was stalled. Then the work gets GRACE_S more, up to LOOKS times.
LATE_S, GRACE_S, LOOKS = 0.02, 0.1, 5


async def within(seconds: float, work: Awaitable[Answer]) -> Answer:
    """Return the result of the work, or cancel it and raise TimeoutError.

    While our own event loop is stalled, the answer may wait in the socket. So a late timer looks again a little later.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def look(due: float, looks: int) -> None:
        nonlocal timer
        now = loop.time()
        if now - due > LATE_S and looks:
            timer = loop.call_at(now + GRACE_S, look, now + GRACE_S, looks - 1)
        else:
            limit.reschedule(now)

    async with asyncio.timeout(None) as limit:
        due = loop.time() + seconds
        timer = loop.call_at(due, look, due, LOOKS)
        try:
            return await work
        finally:
            timer.cancel()
