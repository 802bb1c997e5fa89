"""The erasure of all data of a page or a tenant from every store, while workers run.

Every step is idempotent, and a page's own files are deleted last, because they name its other data. So the next run
completes a run that was interrupted anywhere.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from infra.redis.experiments import ExperimentStore
from infra.redis.line import RedisLine
from infra.redis.requested import Asked
from infra.redis.response_cache import ResponseCache
from infra.redis.results import ResultStore
from infra.tenants import ANY, Tenants
from processors.pages.brief import copy_fields
from processors.pages.cache_keys import key_of, pattern_of
from processors.pages.copywriting import PROMPT_VERSION
from processors.pages.page import TEMPLATE_VERSION
from schemas.errors import DecodeError, LpstreamError
from schemas.generation import decode_model
from schemas.plan import Source
from schemas.tiers import Erasure, Step
from streams.generation.services import open_cache
from streams.operate.erasure_topics import bury_experiments, bury_results, results_of, tested_of
from streams.pictures.cards import NAME, card_key
from streams.pictures.screenshots import shots_of
from streams.pictures.stored import GONE, PAGES, VARIANTS, erased_key, html_key, html_of, source_of, stored_ids
from streams.pictures.uploads import keys_of
from streams.runtime.settings import Settings
from streams.runtime.stores import open_objects
from streams.tiers.run import Tiers
from streams.tiers.stores import Clock, Report, Say, Stores

AT_ONCE, MOST_LOOKS, TIER_WAIT_S = 16, 5, 600.0
# a scan of Redis takes longer than the calls that visitors wait for
PATIENCE_S = 60.0
# longer than a commit of the optimizer, and its write to Redis after that
COMMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Meant:
    """The pages to erase: pages by id, and the pages of a tenant, whose ids begin with its prefix."""

    lp_ids: tuple[str, ...]
    tenant_id: str = ""

    @property
    def prefix(self) -> str:
        """The prefix of the tenant's page ids, or "" if no tenant is erased."""
        return f"{self.tenant_id}-" if self.tenant_id else ""

    def erasure(self, lp_ids: tuple[str, ...] | None = None) -> Erasure:
        """Return the entry for the tiers' list of erasures with the current time, of `lp_ids` if given."""
        now = datetime.now(UTC)
        return Erasure(0, self.lp_ids, self.prefix, now) if lp_ids is None else Erasure(0, lp_ids, "", now)


@dataclass(frozen=True, slots=True)
class PageFiles:
    """A page on S3: its files, its cards and screenshots, and its source if that can be read.

    `shots` is the prefix of its screenshots, or "" without HTML.
    """

    lp_id: str
    own: list[str]
    drawn: list[str]
    source: Source | None
    shots: str = ""


@dataclass(slots=True)
class Found:
    """The data that was found.

    `requests` maps request ids to page ids, `rows` counts rows of the hot tables, `objects` names objects of the tiers,
    `uploads` those of the tenant's own pictures. `tested` has the pages with records of experiments or autopilots.
    `known` has the ids of pages of which any data exists.
    """

    pages: list[PageFiles] = field(default_factory=list)
    requests: dict[UUID, str] = field(default_factory=dict)
    rows: int = 0
    objects: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    tested: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)

    def plain(self) -> dict[str, Any]:
        """Return the figures as a dict for JSON output."""
        return {
            "pages": [page.lp_id for page in self.pages],
            "files": sum(len(page.own) + len(page.drawn) for page in self.pages),
            "copies": len({key for page in self.pages if (key := copy_key(page))}),
            "requests": len(self.requests),
            "experiments": len(self.tested),
            "upload_files": len(self.uploads),
            "heatmap_rows": self.rows,
            "heatmap_objects": len(self.objects),
        }


def meant_by(settings: Settings, lp_ids: list[str], tenant_id: str) -> Meant:
    """Return the pages to erase: the given ids, or the pages that the tenants file gives the tenant.

    Raise LpstreamError if the file does not have the tenant: its listed pages would stay.
    """
    if not tenant_id:
        return Meant(tuple(dict.fromkeys(lp_ids)))
    tenant = Tenants.load(settings.tenants_file).named(tenant_id)
    if tenant is None:
        raise LpstreamError(
            f"--tenant {tenant_id}: is not in {settings.tenants_file}, which lists pages without the tenant's prefix; "
            "nothing was erased. Check the id, write the tenant with its lp_ids into the file again, or erase each "
            "page with --lp"
        )
    return Meant(tuple(lp_id for lp_id in tenant.lp_ids if lp_id != ANY), tenant_id)


def copy_key(page: PageFiles) -> tuple[str, str] | None:
    """Return the cache key and the pattern of the page's copy; None for a variant or without a source."""
    if page.source is None or page.source.request.variant is not None:
        return None
    fields = copy_fields(page.source.request)
    return key_of(fields, TEMPLATE_VERSION, PROMPT_VERSION), pattern_of(fields)


class Erasing:
    """An erasure. Use it with `async with`, which closes the stores."""

    def __init__(self, settings: Settings, meant: Meant, say: Say) -> None:
        self._settings = settings
        self._meant = meant
        self._say = say
        self._stores = Stores(settings)
        self._line = RedisLine(self._stores.redis, patience_s=PATIENCE_S)
        self._objects = open_objects(settings)
        self._results = ResultStore(self._line)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stores.close()

    # -- looking ---------------------------------------------------------------------------------------

    async def look(self) -> Found:
        """Return the data that exists, also of variants. Raise LpstreamError for unknown pages."""
        found = Found()
        self._say("looking for pages")
        found.pages = await self._pages()
        meant = self._meant
        found.requests = {page.source.request.request_id: page.lp_id for page in found.pages if page.source}
        found.known |= {page.lp_id for page in found.pages}
        await self._look_for_requests(found)
        self._say("looking for results and experiments in Kafka")
        found.requests |= await self._results_in_kafka()
        found.tested = await tested_of(self._settings, self._meant.erasure())
        found.known |= {*found.requests.values(), *found.tested}
        found.uploads = await self._uploads()
        self._say("looking for heatmaps")
        await self._look_for_maps(found)
        tenants = Tenants.load(self._settings.tenants_file)
        found.known |= {lp_id for lp_id in meant.lp_ids if (owner := tenants.owner(lp_id)) and lp_id in owner.lp_ids}
        if unknown := [lp_id for lp_id in meant.lp_ids if not meant.tenant_id and lp_id not in found.known]:
            raise LpstreamError(
                f"--lp {unknown[0]}: no page, visit, result or earlier erasure has this id; nothing was erased. "
                "Check the id; the studio lists the existing ids"
            )
        foreign = [lp_id for lp_id in tenants.listed() if meant.tenant_id and lp_id.startswith(f"{meant.tenant_id}-")]
        if others := [lp_id for lp_id in foreign if (owner := tenants.owner(lp_id)) and owner.id != meant.tenant_id]:
            raise LpstreamError(
                f"--tenant {meant.tenant_id}: {others[0]} has its prefix, and another tenant lists it; nothing was "
                "erased. Erase the tenant's own pages one by one with --lp, or give that page another id"
            )
        return found

    async def _pages(self) -> list[PageFiles]:
        if not self._meant.tenant_id:
            self._meant = Meant((*self._meant.lp_ids, *await self._variants()))
        names = list(self._meant.lp_ids)
        if self._meant.tenant_id:
            names += await stored_ids(self._objects, self._meant.prefix)
            cards = await self._objects.names(f"assets/card-{self._meant.prefix}")
            names += [match["lp_id"] for key in cards if (match := NAME.fullmatch(key.removeprefix("assets/")))]
        gate = asyncio.Semaphore(AT_ONCE)

        async def look_up(lp_id: str) -> PageFiles | None:
            async with gate:
                return await self._page(lp_id)

        pages = await asyncio.gather(*(look_up(name) for name in dict.fromkeys(names)))
        return [page for page in pages if page is not None]

    async def _variants(self) -> list[str]:
        """Return the ids of the pages' variants, and of the variants of these: they show the same facts."""
        tenants = {lp_id.rpartition("-")[0] for lp_id in self._meant.lp_ids if "-" in lp_id}
        ids = [lp_id for tenant in sorted(tenants) for lp_id in await self._objects.folders(f"{VARIANTS}{tenant}-")]
        children: dict[str, list[str]] = {}
        for at in range(0, len(ids), AT_ONCE):
            part = ids[at : at + AT_ONCE]
            for lp_id, source in zip(part, await asyncio.gather(*map(self._source, part)), strict=True):
                if source is not None and source.request.variant is not None:
                    children.setdefault(source.request.variant.of, []).append(lp_id)
        found = list(self._meant.lp_ids)
        for lp_id in found:  # it grows
            found += [child for child in children.get(lp_id, ()) if child not in found]
        return found[len(self._meant.lp_ids) :]

    async def _page(self, lp_id: str) -> PageFiles | None:
        """Return the page's files on S3, or None if it has none."""
        own = [key for prefix in (PAGES, VARIANTS) for key in await self._objects.keys(f"{prefix}{lp_id}/")]
        cards = [card_key(lp_id, "og"), card_key(lp_id, "small")]
        drawn = [key for key in cards if key in await self._objects.names(key)]
        if not own:
            return PageFiles(lp_id, [], drawn, None) if drawn else None
        html = await html_of(self._objects, lp_id)
        shots = "" if html is None else shots_of(html.body)
        drawn += await self._objects.names(shots) if shots else []
        return PageFiles(lp_id, own, drawn, await self._source(lp_id), shots)

    async def _source(self, lp_id: str) -> Source | None:
        """Return the page's source, or None if it cannot be read."""
        stored = await source_of(self._objects, lp_id)
        if stored is not None:
            with contextlib.suppress(DecodeError):
                return decode_model(Source, stored.body)
            self._say(f"the source of {lp_id} cannot be read; the page's copy and results cannot be found by it")
        return None

    async def _uploads(self) -> list[str]:
        """Return the keys of the tenant's uploads.

        There are none if only pages are erased, because other pages may show the uploads.
        """
        return await keys_of(self._objects, self._meant.tenant_id) if self._meant.tenant_id else []

    async def _look_for_requests(self, found: Found) -> None:
        """Find the requests of the tenant, and of pages whose source file is missing."""
        meant, missing = self._meant, set(self._meant.lp_ids) - set(found.requests.values())
        tenants = {lp_id.partition("-")[0] for lp_id in missing if "-" in lp_id} | ({meant.tenant_id} - {""})
        for tenant_id in sorted(tenants):
            self._say(f"looking for results of {tenant_id}")
            async for result in self._results.of_tenant(tenant_id):
                if tenant_id == meant.tenant_id or result.lp_id in missing:
                    found.requests[result.request_id] = result.lp_id or ""

    async def _results_in_kafka(self) -> dict[UUID, str]:
        return await results_of(self._settings, self._meant.erasure(), self._meant.tenant_id)

    async def _look_for_maps(self, found: Found) -> None:
        stores, meant = self._stores, self._meant
        found.rows = sum((await stores.hot.concerned(meant.erasure())).values())
        objects = [entry for entry in await stores.ledger.objects() if entry.step is not Step.GONE]
        whole = meant.erasure()
        found.objects = [entry.name for entry in objects if any(map(whole.covers, entry.lp_ids))]
        found.known |= {lp_id for entry in objects for lp_id in entry.lp_ids if whole.covers(lp_id)}
        noted = await stores.ledger.erasures()
        for lp_id in meant.lp_ids:
            counted = found.rows and sum((await stores.hot.concerned(meant.erasure((lp_id,)))).values())
            if counted or any(erasure.covers(lp_id) for erasure in noted):
                found.known.add(lp_id)

    # -- erasing ---------------------------------------------------------------------------------------

    async def erase(self, found: Found) -> Report:
        """Erase the data that was found, and data that workers add meanwhile. Return the tiers' report."""
        report, tested = await self._maps(), found.tested
        for _ in range(MOST_LOOKS):
            self._say(f"{len(found.pages)} pages, {len(found.requests)} requests: erasing")
            await self._copy(found)
            await self._requests(found)
            await self._experiments({*self._meant.lp_ids, *(page.lp_id for page in found.pages), *tested})
            await self._files(found.pages)
            await self._objects.delete(found.uploads)
            again, uploads = await self._pages(), await self._uploads()  # pages and uploads made meanwhile
            if not again and not uploads:
                await self._experiments_again(tested, report)
                return report
            requests = {page.source.request.request_id: page.lp_id for page in again if page.source}
            found = Found(again, requests, uploads=uploads)
        report.waiting.append("pages are generated as fast as they are erased: stop the requests, then run this again")
        return report

    async def _maps(self) -> Report:
        """Erase heatmaps from every tier, then cached pictures, so that no picture is drawn again."""
        meant = self._meant
        tiers = Tiers(self._settings, Clock.at(None, datetime.now(UTC)), self._say)
        report = await tiers.erase(meant.lp_ids, meant.prefix, wait_s=TIER_WAIT_S)
        if report is None:
            raise LpstreamError(
                f"another run of `tier` or `rebuild` has lasted over {TIER_WAIT_S:g} s; nothing was erased; run this "
                "again when it has ended"
            )
        response_cache = ResponseCache(self._line, "lp:heatmap:")
        for prefix in (*(f"{lp_id}:" for lp_id in meant.lp_ids), *([meant.prefix] if meant.prefix else [])):
            await response_cache.forget(prefix)
        return report

    async def _copy(self, found: Found) -> None:
        cache = open_cache(self._settings, self._line, self._objects)
        for key, pattern in sorted({names for page in found.pages if (names := copy_key(page))}):
            await cache.forget_one(key, pattern)
        if self._meant.tenant_id:
            await cache.forget_tenant(self._meant.tenant_id)

    async def _requests(self, found: Found) -> None:
        """Append an empty record for each result, so that compaction deletes it; delete the keys in Redis."""
        if found.requests:
            await bury_results(self._settings, found.requests)
        for request_id, lp_id in found.requests.items():
            await self._results.erase(request_id, lp_id)
        requested, ids = Asked(self._line), {str(request_id) for request_id in found.requests}
        if self._meant.tenant_id:
            await requested.forget(self._meant.tenant_id)
        for tenant_id in {page.source.request.tenant_id for page in found.pages if page.source}:
            await requested.forget(tenant_id, ids)

    async def _experiments(self, lp_ids: set[str]) -> None:
        """Append empty records for the experiments of the pages, and delete them in Redis."""
        await bury_experiments(self._settings, lp_ids)
        store = ExperimentStore(self._line)
        for lp_id in sorted(lp_ids):
            await store.forget(lp_id)

    async def _experiments_again(self, tested: set[str], report: Report) -> None:
        """Erase the records that the optimizer was just writing when the empty records came."""
        for _ in range(MOST_LOOKS):
            if not tested:
                return
            self._say(f"waiting {COMMIT_S:g} s for the optimizer, which may be writing a state")
            await asyncio.sleep(COMMIT_S)
            left = await tested_of(self._settings, self._meant.erasure())
            await self._experiments(tested | left)
            await bury_results(self._settings, await self._results_in_kafka())
            tested = left
        report.waiting.append("experiments are started as fast as they are erased: stop that, then run this again")

    async def _files(self, pages: list[PageFiles]) -> None:
        for page in pages:
            if html_key(page.lp_id) in page.own:
                await self._objects.put(erased_key(page.lp_id), GONE, "text/plain", "no-store")
            elif page.own:  # a variant was never published
                await self._objects.delete([erased_key(page.lp_id)])
            await self._objects.delete([*page.drawn, *page.own])
            # An edge may have drawn a card or taken a screenshot meanwhile. It deletes the picture itself unless it
            # still found the page; then the picture is on S3 by now.
            shots = await self._objects.names(page.shots) if page.shots else []
            await self._objects.delete([card_key(page.lp_id, "og"), card_key(page.lp_id, "small"), *shots])
