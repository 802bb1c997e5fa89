"""The studio's list of pages: those that exist, and apart from them ids that anybody on the internet may have sent.

A beacon needs no login, and its `lp_id` may be any with the tenant's prefix. So a page is ours where its files are on
S3, or where the tenants file lists it.
"""

import asyncio
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
# ids of a question to ClickHouse, which travel in the head of an HTTP request
MOST_NAMED = 50
MOST_FOLDERS, KEEP_S, TENANTS = 10_000, 60.0, 1_000


@dataclass(frozen=True, slots=True)
class PageList:
    """Pages that exist, and ids of no page of ours; each by traffic. `more`: further ones were left out."""

    known: list[PageTotals]
    unknown: list[PageTotals]
    more: bool


def page_list(counted: Iterable[PageTotals], known: Collection[str]) -> PageList:
    """The list, from what was counted (a page may come twice) and the ids of pages that exist."""
    by_id = {one.lp_id: one for one in counted}
    ordered = sorted(by_id.values(), key=lambda one: (-one.pageviews, one.lp_id))
    ours = [one for one in ordered if one.lp_id in known]
    others = [one for one in ordered if one.lp_id not in known]
    return PageList(ours[:MOST_KNOWN], others[:MOST_UNKNOWN], len(others) > MOST_UNKNOWN)


class Listing:
    """Lists for the tenants of one edge process."""

    def __init__(self, clickhouse: ClickHouse, objects: Objects) -> None:
        self._clickhouse = clickhouse
        self._objects = objects
        self._folders: TTLCache[str, list[str]] = TTLCache(TENANTS, KEEP_S)
        self._looking: SingleFlight[list[str]] = SingleFlight()

    async def of(self, tenant: Tenant, start: datetime, end: datetime, lately: Collection[str]) -> PageList:
        """The list of a time; `lately`: pages asked for lately, looked for first. Retryable without ClickHouse.

        Ids that strangers made up may have more visits than a page. So pages that are not among the first are asked
        for by their names.
        """
        listed = [one for one in tenant.lp_ids if one != ANY]
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
            seen = {one.lp_id for one in counted}
            wanted = [one for one in (*lately, *listed, *existing) if one in known and one not in seen]
            named = list(dict.fromkeys(wanted))[:MOST_NAMED]
            counted += await map_queries.pages_named(self._clickhouse, named, start, end)
        return page_list(counted, known)

    async def _existing(self, tenant: Tenant) -> list[str]:
        """Ids of the tenant's pages on S3; none while S3 does not answer."""
        prefix = "pages/" if ANY in tenant.lp_ids else f"pages/{tenant.id}-"
        if (kept := self._folders.get(prefix)) is not None:
            return kept
        try:
            return await asyncio.shield(self._looking.task(prefix, lambda: self._look(prefix)))
        except LpstreamError as error:
            log.warning("pages of the studio: %s", error)
            return []

    async def _look(self, prefix: str) -> list[str]:
        self._folders[prefix] = found = await self._objects.folders(prefix, MOST_FOLDERS)
        return found
