"""The tracking snippet's files, by plain name and by the hash of the script's bytes.

A tag with a hash stays in a customer's page over many releases. So the bucket holds the script of each release, which
`lpstream migrate` stores there, and an edge reads those of other releases from it.
"""

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Self

from cachetools import TTLCache

from infra.s3.objects import Objects
from streams.edge.site.object_cache import CachedObject, ObjectCache

TYPE, FOREVER = "text/javascript", "public, max-age=31536000, immutable"
# a page with a tag that no release has asks at each visit
_absent: TTLCache[str, bool] = TTLCache(10_000, 60.0)


def _key(digest: str) -> str:
    return f"snippets/t.{digest}.js"


async def of_another_release(shelf: ObjectCache, digest: str) -> CachedObject | None:
    """Return the script with this digest from the bucket, or None if no release has stored it.

    An absent script is looked up once a minute. Errors are those of `Objects.get`.
    """
    if digest in _absent:
        return None
    found = await shelf.get(_key(digest))
    if found is None:
        _absent[digest] = True
    return found


@dataclass(frozen=True, slots=True)
class Snippet:
    """The files. `digest` is the name in the long-lived URL, `integrity` the script tag's attribute."""

    body: bytes
    source_map: bytes
    digest: str
    integrity: str

    @classmethod
    def load(cls) -> Self:
        """Return the installed files."""
        static = files("streams.edge").joinpath("static")
        body = static.joinpath("t.js").read_bytes()
        digest = hashlib.sha384(body).digest()
        integrity = "sha384-" + base64.b64encode(digest).decode()
        return cls(body, static.joinpath("t.js.map").read_bytes(), digest.hex()[:16], integrity)

    async def store(self, objects: Objects) -> None:
        """Store the script in the bucket, for edges of other releases. Errors are those of `Objects.put`."""
        await objects.put(_key(self.digest), self.body, f"{TYPE}; charset=utf-8", FOREVER)

    def tag(self, base_url: str, lp_id: str) -> str:
        """Return a page's script tag. Browsers cache the script for long, and refuse changed bytes."""
        return (
            f'<script async src="{escape(base_url)}/t.{self.digest}.js" integrity="{self.integrity}"'
            f' crossorigin="anonymous" data-lp-id="{escape(lp_id)}"></script>'
        )
