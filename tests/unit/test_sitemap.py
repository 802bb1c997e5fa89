"""The sitemap: all pages, or an index of bounded parts; one listing for many readers."""

import asyncio
import re

from infra.tenants import Tenant, Tenants
from streams.edge.site.sitemap import Sitemaps

TENANTS = Tenants([Tenant(id="acme"), Tenant(id="bloom")])
SITE = "https://lp.example"


class Bucket:
    """A fake S3 with page folders."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked = names, 0

    async def folders(self, prefix: str, most: int) -> list[str]:
        self.asked += 1
        await asyncio.sleep(0)
        return [name for name in self.names if f"pages/{name}".startswith(prefix)][:most]


def sitemaps(bucket: Bucket, most: int = 3) -> Sitemaps:
    return Sitemaps(bucket, TENANTS, SITE, most)  # type: ignore[arg-type]


def addresses(text: bytes | None) -> list[str]:
    return re.findall("<loc>(.*?)</loc>", (text or b"").decode())


async def test_a_small_sitemap_lists_every_page() -> None:
    text = await sitemaps(Bucket("acme-0a", "acme-1b", "other-2c")).get()
    assert text is not None and b"<urlset" in text
    assert addresses(text) == [f"{SITE}/lp/{lp_id}" for lp_id in ("acme-0a", "acme-1b", "other-2c")]


async def test_a_large_sitemap_is_an_index_of_bounded_parts() -> None:
    pages = [f"acme-{digit}{at}" for digit in "0f" for at in range(4)]
    site = sitemaps(Bucket(*pages, "acmes-01", "bloom-01"))
    index = await site.get()
    assert index is not None and b"<sitemapindex" in index and len(addresses(index)) == 2 * 16
    assert f"{SITE}/sitemap-acme-0.xml" in addresses(index)
    assert addresses(await site.get("acme-f")) == [f"{SITE}/lp/acme-f{at}" for at in range(3)]
    assert addresses(await site.get("bloom-0")) == [f"{SITE}/lp/bloom-01"]


async def test_an_unknown_part_asks_no_store() -> None:
    bucket = Bucket("acme-0a")
    for part in ("acme", "acme-", "acme-10", "acme-g", "none-0", "-0", "0"):
        assert await sitemaps(bucket).get(part) is None, part
    assert bucket.asked == 0


async def test_many_readers_share_one_listing() -> None:
    bucket = Bucket("acme-0a")
    site = sitemaps(bucket)
    first = await asyncio.gather(*(site.get() for _ in range(20)))
    assert len(set(first)) == 1 and await site.get() == first[0] and bucket.asked == 1
