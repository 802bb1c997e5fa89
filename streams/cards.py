"""Pictures of a finished page, its preview for social networks and its thumbnail, drawn in a process of their own.

Drawing one page's pictures takes 40 ms of a processor, twenty times what the page itself takes: the loop that reads the
providers' streams must not stand still for it. Their names follow from what they show, so the page can be published
first; who asks for one in the moment before it is drawn is kept waiting by the edge.
"""

import asyncio
import ctypes
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from processors.page import TEMPLATE_VERSION, og_image, thumbnail
from schemas.copywriting import Copy
from schemas.errors import Retryable
from schemas.generation import CARDS, GenerationRequest

NICE = 10
PR_SET_PDEATHSIG = 1


def names_of(request: GenerationRequest, copy: Copy, template: str) -> tuple[str, str]:
    """Keys of the preview and of the thumbnail: a hash of all that they are drawn from."""
    shown = [TEMPLATE_VERSION, template, request.business.name, request.keywords, copy.hero.model_dump(mode="json")]
    digest = hashlib.sha256(json.dumps(shown, ensure_ascii=False).encode()).hexdigest()[:16]
    return f"{CARDS}{digest}-og.png", f"{CARDS}{digest}-small.png"


def draw(request: GenerationRequest, copy: Copy, template: str) -> tuple[bytes, bytes]:
    """Both pictures, PNG."""
    return og_image(request, copy, template), thumbnail(request, copy, template)


class Press:
    """One process that draws, at low priority; a new one when it dies."""

    def __init__(self) -> None:
        self._pool = self._new()

    @staticmethod
    def _new() -> ProcessPoolExecutor:
        # a fork would take the loop's sockets and threads' locks with it
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start, (os.getpid(),))

    async def draw(self, request: GenerationRequest, copy: Copy, template: str) -> tuple[bytes, bytes]:
        """Both pictures; Retryable when the process died over them."""
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, draw, request, copy, template)
        except BrokenProcessPool as error:
            if self._pool is pool:
                self._pool = self._new()
            raise Retryable("the process that draws pictures died") from error

    def close(self) -> None:
        """End it; what waits is not drawn."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _start(parent: int) -> None:
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent tells it when to end
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
