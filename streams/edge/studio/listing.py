"""The studio's list of pages: existing pages, and apart from them ids that anybody may have sent.

A beacon needs no login, and its `lp_id` may be any id with the tenant's prefix. So a page exists if its files are on
S3 or if the tenants file lists it.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from cachetools import TTLCache

from infra.clickhouse import map_queries
from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import PageTotals
from infra.s3.objects import Objects
from infra.single_flight import SingleFlight
from infra.tenants import ANY, Tenant
from schemas.errors import LpstreamError

log = logging.getLogger(__name__)

MOST_KNOWN, MOST_UNKNOWN = 200, 20
MOST_COUNTED = 1_000
# ids in one query to ClickHouse, which travel in the head of an HTTP request
MOST_NAMED = 50
MOST_FOLDERS, KEEP_S, TENANTS = 10_000, 60.0, 1_000


@dataclass(frozen=True, slots=True)
class PageList:
    """Existing pages and unknown ids, each ordered by traffic. `more`: further unknown ids exist."""

    known: list[PageTotals]
    unknown: list[PageTotals]
    more: bool


def page_list(counted: Iterable[PageTotals], known: Collection[str]) -> PageList:
    """Return the list from counted ids (an id may occur twice) and the ids of existing pages."""
    by_id = {page.lp_id: page for page in counted}
    ordered = sorted(by_id.values(), key=lambda page: (-page.pageviews, page.lp_id))
    existing = [page for page in ordered if page.lp_id in known]
    others = [page for page in ordered if page.lp_id not in known]
    return PageList(existing[:MOST_KNOWN], others[:MOST_UNKNOWN], len(others) > MOST_UNKNOWN)


class Listing:
    """The page lists of the tenants of one edge process."""

    def __init__(self, clickhouse: ClickHouse, objects: Objects) -> None:
        self._clickhouse = clickhouse
        self._objects = objects
        self._folders: TTLCache[str, list[str]] = TTLCache(TENANTS, KEEP_S)
        self._looking: SingleFlight[list[str]] = SingleFlight()

    async def of(self, tenant: Tenant, start: datetime, end: datetime, lately: Collection[str]) -> PageList:
        """Return the list of a period. `lately` are recently requested pages, looked up first.

        Made-up ids may have more visits than a page. So pages that are not among the first results are queried by
        name. Raise Retryable if ClickHouse does not answer.
        """
        listed = [lp_id for lp_id in tenant.lp_ids if lp_id != ANY]
        existing = await self._existing(tenant)
        known = {*existing, *listed}
        counted = await map_queries.pages(
            self._clickhouse,
            f"{tenant.id}-",
            listed,
            start,
            end,
            any_page=ANY in tenant.lp_ids,
            most=MOST_COUNTED,
        )
        if len(counted) == MOST_COUNTED:
            seen = {page.lp_id for page in counted}
            missing = [lp_id for lp_id in (*lately, *listed, *existing) if lp_id in known and lp_id not in seen]
            named = list(dict.fromkeys(missing))[:MOST_NAMED]
            counted += await map_queries.pages_named(self._clickhouse, named, start, end)
        return page_list(counted, known)

    async def _existing(self, tenant: Tenant) -> list[str]:
        """Return the ids of the tenant's pages on S3, or none while S3 does not answer."""
        prefix = "pages/" if ANY in tenant.lp_ids else f"pages/{tenant.id}-"
        if (cached := self._folders.get(prefix)) is not None:
            return cached
        try:
            return await self._looking.run(prefix, lambda: self._look(prefix))
        except LpstreamError as error:
            log.warning("cannot list the studio's pages on S3: %s", error)
            return []

    async def _look(self, prefix: str) -> list[str]:
        self._folders[prefix] = folders = await self._objects.folders(prefix, MOST_FOLDERS)
        return folders
