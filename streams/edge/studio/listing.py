"""The studio's list of pages: existing pages, and apart from them ids that anybody may have sent.

A beacon needs no login, and its `lp_id` may be any id with the tenant's prefix. So a page exists if its files are on
S3 or if the tenants file lists it.
"""

from dataclasses import dataclass
from datetime import datetime

from infra.clickhouse import map_queries
from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import PageTotals
from infra.tenants import ANY, Tenant
from streams.edge.studio.directory import Directories, Directory, Page, folded

# rows of a part of the list; their ids travel in the head of an HTTP request to ClickHouse
MOST_ROWS, MOST_UNKNOWN, MOST_COUNTED = 50, 20, 1_000
SEARCH_S = 2.0


@dataclass(frozen=True, slots=True)
class PageList:
    """A part of the list: rows, the number of all matching pages, and its own number from 1 to `last`.

    `unread`: some names are not known yet, so a search may find more in a moment.
    """

    rows: list[Page]
    found: int
    number: int
    last: int
    unread: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """The totals of the rows by id, and those of unknown ids. `more`: further unknown ids exist."""

    totals: dict[str, PageTotals]
    unknown: list[PageTotals]
    more: bool


def page_list(pages: list[Page], text: str, number: int) -> PageList:
    """Return the part with that number of the list of published pages that match a text."""
    wanted = folded(text)
    matching = [page for page in pages if page.published and (not wanted or page.matches(wanted))]
    last = max(1, -(-len(matching) // MOST_ROWS))
    number = min(max(1, number), last)
    rows = matching[(number - 1) * MOST_ROWS : number * MOST_ROWS]
    unread = bool(wanted) and any(page.source and page.about is None for page in pages)
    return PageList(rows, len(matching), number, last, unread)


class Listing:
    """The page lists of the tenants of one edge process."""

    def __init__(self, clickhouse: ClickHouse, directories: Directories) -> None:
        self._clickhouse = clickhouse
        self._directories = directories

    async def of(self, tenant: Tenant, text: str, number: int) -> PageList:
        """Return a part of the list, the newest page first.

        Pages of other sites, which the tenants file lists, come last.
        """
        directory = await self._directories.of(tenant, SEARCH_S if text else 0.0)
        found = page_list([*directory.newest, *_listed(tenant, directory)], text, number)
        await directory.read(found.rows)
        return found

    async def counts(self, tenant: Tenant, rows: list[Page], start: datetime, end: datetime) -> Counts:
        """Return the totals of a period. Raise Retryable if ClickHouse does not answer."""
        directory = await self._directories.of(tenant)
        listed = [page.lp_id for page in _listed(tenant, directory)]
        prefix, any_page = f"{tenant.id}-", ANY in tenant.lp_ids
        counted = await map_queries.pages(
            self._clickhouse, prefix, listed, start, end, any_page=any_page, most=MOST_COUNTED
        )
        totals = {page.lp_id: page for page in counted}
        known = {*directory.pages, *listed}
        unknown = [page for page in counted if page.lp_id not in known]
        missing = [page.lp_id for page in rows if page.lp_id not in totals]
        if missing and len(counted) == MOST_COUNTED:  # made-up ids may have more visits than a page
            named = await map_queries.pages_named(self._clickhouse, missing, start, end)
            totals |= {page.lp_id: page for page in named}
        return Counts(totals, unknown[:MOST_UNKNOWN], len(unknown) > MOST_UNKNOWN)


def _listed(tenant: Tenant, directory: Directory) -> list[Page]:
    """Return the pages of other sites that the tenants file lists."""
    others = (lp_id for lp_id in tenant.lp_ids if lp_id != ANY and lp_id not in directory.pages)
    return [Page(lp_id, published=True) for lp_id in dict.fromkeys(others)]
