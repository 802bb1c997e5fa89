"""The sitemap of the published pages, by https://www.sitemaps.org/protocol.html.

A sitemap holds MOST pages. With more pages, it is an index of 16 sitemaps a tenant, by the first digit of the page's
hash. Addresses of pages come from a listing of the store, which is kept for KEPT_S.
"""

from xml.sax.saxutils import escape

from cachetools import TTLCache

from infra.s3.objects import Objects
from infra.single_flight import SingleFlight
from infra.tenants import Tenants

MOST, KEPT_S, KEPT_BYTES = 50_000, 600.0, 32 * 2**20
DIGITS = "0123456789abcdef"
NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


class Sitemaps:
    """The sitemaps of all pages in a store."""

    def __init__(self, objects: Objects, tenants: Tenants, base_url: str, most: int = MOST) -> None:
        self._objects = objects
        self._tenants = tenants
        self._base_url = base_url
        self._most = most
        self._kept: TTLCache[str, bytes] = TTLCache(KEPT_BYTES, KEPT_S, getsizeof=len)
        self._making: SingleFlight[bytes] = SingleFlight()

    async def get(self, part: str = "") -> bytes | None:
        """Return the sitemap, or the part `{tenant}-{digit}` of a large one; None for another part."""
        tenant, _, digit = part.rpartition("-")
        if part and (digit not in DIGITS or len(digit) != 1 or self._tenants.named(tenant) is None):
            return None
        if (kept := self._kept.get(part)) is not None:
            return kept
        return await self._making.run(part, lambda: self._make(part))

    async def _make(self, part: str) -> bytes:
        lp_ids = await self._objects.folders(f"pages/{part}", self._most + 1)
        if len(lp_ids) > self._most and not part:
            names = [f"sitemap-{tenant}-{digit}.xml" for tenant in self._tenants.ids for digit in DIGITS]
            text = _xml("sitemapindex", "sitemap", [f"{self._base_url}/{name}" for name in names])
        else:
            text = _xml("urlset", "url", [f"{self._base_url}/lp/{lp_id}" for lp_id in lp_ids[: self._most]])
        if len(text) <= KEPT_BYTES:
            self._kept[part] = text
        return text


def _xml(root: str, entry: str, addresses: list[str]) -> bytes:
    entries = "".join(f"<{entry}><loc>{escape(address)}</loc></{entry}>\n" for address in addresses)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">\n{entries}</{root}>\n'.encode()
