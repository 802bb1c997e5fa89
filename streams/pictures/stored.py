"""The objects of pages: where the HTML, the source and the mark of a page are stored.

A variant has its own prefix. So whatever lists or serves `pages/` does not know it: it is unpublished, and only an
experiment shows it.
"""

import asyncio
import hashlib

from infra.s3.objects import Objects, StoredObject

PAGES, VARIANTS = "pages/", "variants/"
# the content of the mark at an address without a page
GONE, UNPUBLISHED = b"gone", b"variant"


def html_key(lp_id: str, *, variant: bool = False) -> str:
    """Return the object key of a page's HTML."""
    return f"{VARIANTS if variant else PAGES}{lp_id}/index.html"


def source_key(lp_id: str, *, variant: bool = False) -> str:
    """Return the object key of a page's source."""
    return f"{VARIANTS if variant else PAGES}{lp_id}/source.json"


def erased_key(lp_id: str) -> str:
    """Return the key of the object that says why an address has no page: erased, or a variant.

    It does not hold the page's id.
    """
    return f"gone/{hashlib.sha256(lp_id.encode()).hexdigest()}"


async def html_of(objects: Objects, lp_id: str) -> StoredObject | None:
    """Return the HTML of a page or of a variant; None if there is neither."""
    return await objects.get(html_key(lp_id)) or await objects.get(html_key(lp_id, variant=True))


async def source_of(objects: Objects, lp_id: str) -> StoredObject | None:
    """Return the source of a page or of a variant; None if there is neither."""
    return await objects.get(source_key(lp_id)) or await objects.get(source_key(lp_id, variant=True))


async def stored_ids(objects: Objects, beginning: str = "", most: int | None = None) -> list[str]:
    """Return the ids of stored pages and variants that begin with a text, at most `most` of each."""
    found = await asyncio.gather(*(objects.folders(f"{prefix}{beginning}", most) for prefix in (PAGES, VARIANTS)))
    return [lp_id for ids in found for lp_id in ids]
