"""Pictures of published pages, their preview for social networks and their thumbnail, drawn when first asked for.

Drawing one page's pictures takes 40 ms of a processor, twenty times what the page itself takes, and most are never
looked at. So a page leaves what they are drawn from beside it in the object store; the edge draws, in a process of
its own, and keeps what it drew.
"""

import asyncio
import ctypes
import multiprocessing
import os
import re
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal

from infra.objects import Objects, StoredObject
from schemas.copywriting import Copy
from schemas.errors import Retryable
from schemas.generation import GenerationRequest, Model, decode_model

Kind = Literal["og", "small"]
IMMUTABLE = "public, max-age=31536000, immutable"
NAME = re.compile(r"card-(?P<lp_id>[A-Za-z0-9._-]{1,128})-(?P<kind>og|small)\.png")
NICE = 10
PR_SET_PDEATHSIG = 1


class Source(Model):
    """What a page's pictures are drawn from."""

    request: GenerationRequest
    copy_: Copy
    template: str


def source_key(lp_id: str) -> str:
    """Where the source lies."""
    return f"pages/{lp_id}/source.json"


def card_key(lp_id: str, kind: Kind) -> str:
    """Where a picture lies, and under which name the edge serves it."""
    return f"assets/card-{lp_id}-{kind}.png"


def draw(source: bytes, kind: Kind) -> bytes:
    """The picture, PNG."""
    from processors.page import og_image, thumbnail  # not in the edge's own process: it brings fonts and templates

    found = decode_model(Source, source)
    work = og_image if kind == "og" else thumbnail
    return work(found.request, found.copy_, found.template)


class Cards:
    """Draws what is asked for and not there yet, each once; in one process, at low priority."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._pool: ProcessPoolExecutor | None = None
        self._drawing: dict[str, asyncio.Task[StoredObject | None]] = {}

    async def get(self, name: str) -> StoredObject | None:
        """The picture by the name under which it is served; None when there is no such page."""
        key = f"assets/{name}"
        if (found := await self._objects.get(key)) is not None:
            return found
        task = self._drawing.get(key)
        if task is None:
            task = self._drawing[key] = asyncio.create_task(self._make(name, key))
            task.add_done_callback(lambda _: self._drawing.pop(key, None))
        return await asyncio.shield(task)

    async def _make(self, name: str, key: str) -> StoredObject | None:
        match = NAME.fullmatch(name)
        source = None if match is None else await self._objects.get(source_key(match["lp_id"]))
        if match is None or source is None:
            return None
        kind: Kind = "og" if match["kind"] == "og" else "small"
        body = await self._draw(source.body, kind)
        await self._objects.put(key, body, "image/png", IMMUTABLE)
        return await self._objects.get(key)

    async def _draw(self, source: bytes, kind: Kind) -> bytes:
        if self._pool is None:
            # a fork would take the loop's sockets and other threads' locks with it
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, spawn, _start, (os.getpid(),))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, draw, source, kind)
        except BrokenProcessPool as error:
            self._pool = None
            raise Retryable("the process that draws pictures died") from error

    def close(self) -> None:
        """End the process; what waits is not drawn."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _start(parent: int) -> None:
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent tells it when to end
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
