"""Posting of beacons with retries, as the snippet does."""

import asyncio

import aiohttp

from schemas.errors import LpstreamError
from streams.local.console import err

TRIES, FIRST_PAUSE_S = 8, 0.2


async def post(session: aiohttp.ClientSession, url: str, body: bytes) -> bool:
    """Post a beacon with retries. Return whether the edge acknowledged it."""
    for attempt in range(TRIES):
        try:
            async with session.post(url, data=body, headers={"Content-Type": "text/plain"}) as answer:
                if answer.status == 204:
                    return True
                if answer.status not in (408, 429, 503):
                    raise LpstreamError(f"the edge answered {answer.status}: {(await answer.text())[:300]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            err.log(f"{type(error).__name__}, trying again")
        await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
    return False
