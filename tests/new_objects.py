"""The objects that a test leaves in memory."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_new_objects() -> Iterator[None]:
    """Hide all earlier objects from `gc`: those of a long run take it many seconds."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
