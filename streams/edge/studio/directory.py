"""The directory of a tenant's pages, in the memory of an edge process: their times and names.

S3 has both: a listing says when each page was made, and each page's source names its business. Names are read in the
background, the newest first, so that thousands of pages make no request slow.
"""

import asyncio
import logging
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, cast, get_args

import msgspec
from cachetools import LRUCache

from infra.s3.objects import Objects
from infra.single_flight import SingleFlight
from infra.tenants import ANY, Tenant
from schemas.errors import LpstreamError
from schemas.generation import Change, Door
from streams.pictures.stored import PAGES, VARIANTS

log = logging.getLogger(__name__)

# an unpublished variant has the same files in a folder that nobody lists as pages
FOLDERS, PAGE, SOURCE = (PAGES, VARIANTS), "index.html", "source.json"
# two keys a page, and pictures that were stored beside them
MOST_KEYS, DIRECTORIES = 50_000, 200
# a listing that takes long is read less often
KEEP_S, SHARE, LONGEST_S, WAIT_S = 2.0, 10.0, 10.0, 0.5
AT_ONCE = 16
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class About:
    """The content of a page's source.

    A variant has `parent`, the page that it is made from, and `change`, what differs.
    """

    name: str = ""
    door: Door | None = None
    request_id: str = ""
    parent: str | None = None
    change: str = ""
    words: str = ""


@dataclass(slots=True)
class Page:
    """A page or a variant. `source` is the key of its source, if it has one.

    `made` is None for a page of another site, `about` until the source is read.
    """

    lp_id: str
    made: datetime | None = None
    published: bool = False
    source: str = ""
    about: About | None = None

    @property
    def name(self) -> str:
        """The name of its business; "" until the source is read, and for a page of another site."""
        return self.about.name if self.about else ""

    def matches(self, text: str) -> bool:
        """Return whether id or name hold the text, which is folded."""
        return text in self.lp_id.casefold() or (self.about is not None and text in self.about.words)


class _Source(msgspec.Struct):
    request: dict[str, Any]


_decoder = msgspec.json.Decoder(_Source)


def folded(text: str) -> str:
    """Return a text as it is compared in a search: without case, full width as half width."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


def about_of(source: bytes) -> About:
    """Return the content of a source; an empty About if it cannot be read."""
    try:
        request = _decoder.decode(source).request
        name, door, variant = str(request["business"]["name"]), request.get("door"), request.get("variant")
        known = cast(Door, door) if door in get_args(Door) else None
        parent, change = (str(variant["of"]), str(variant["change"])) if variant else (None, "")
        change = change if change in get_args(Change) else ""
        return About(name, known, str(request["request_id"]), parent, change, folded(name))
    except (msgspec.MsgspecError, KeyError, TypeError):
        return About()


class Directory:
    """The pages whose ids begin with a prefix."""

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix
        self._until = 0.0
        self.pages: Mapping[str, Page] = {}
        self.newest: list[Page] = []

    @property
    def old(self) -> bool:
        """Whether the listing should be read again."""
        return time.monotonic() >= self._until

    async def look(self) -> None:
        """Read the listing. While S3 does not answer, the last one stays."""
        started = time.monotonic()
        try:
            listings = [await self._objects.dated(f"{folder}{self._prefix}", MOST_KEYS) for folder in FOLDERS]
        except LpstreamError as error:
            log.warning("cannot list the studio's pages on S3: %s", error)
            return
        pages: dict[str, Page] = {}
        for key, at in chain(*listings):
            folder, _, rest = key.partition("/")
            lp_id, _, file = rest.partition("/")
            before = self.pages.get(lp_id)
            page = pages.setdefault(lp_id, Page(lp_id, at, about=before.about if before else None))
            page.published |= file == PAGE and f"{folder}/" == FOLDERS[0]
            if file == SOURCE:  # an update of all pages writes them again, but not their sources
                page.made, page.source = at, key
        self.pages = pages
        self.newest = sorted(pages.values(), key=lambda page: (page.made or NEVER, page.lp_id), reverse=True)
        now = time.monotonic()
        self._until = now + min(LONGEST_S, max(KEEP_S, SHARE * (now - started)))

    async def read(self, pages: Iterable[Page]) -> None:
        """Read the sources of pages that are not read yet. While S3 does not answer, they stay unread."""
        unread = iter([page for page in pages if page.source and page.about is None])

        async def work() -> None:
            for page in unread:
                if (source := await self._objects.get(page.source)) is not None:
                    page.about = about_of(source.body)

        results = await asyncio.gather(*(work() for _ in range(AT_ONCE)), return_exceptions=True)
        for error in filter(None, results):
            if not isinstance(error, LpstreamError):
                raise error
            log.warning("cannot read the sources of the studio's pages on S3: %s", error)
            break


class Directories:
    """The directories of the tenants."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._kept: LRUCache[str, Directory] = LRUCache(DIRECTORIES)
        self._looking: SingleFlight[None] = SingleFlight()
        self._reading: SingleFlight[None] = SingleFlight()

    async def of(self, tenant: Tenant, read_s: float = 0.0) -> Directory:
        """Return the directory of a tenant, at most a few seconds old. Wait up to `read_s` for all names."""
        prefix = _prefix(tenant)
        directory = self._kept.get(prefix)
        if directory is None:
            directory = self._kept[prefix] = Directory(self._objects, prefix)
        if directory.old:
            looking = self._looking.task(prefix, directory.look)
            await asyncio.wait({looking}, timeout=WAIT_S if directory.pages else None)
        reading = self._reading.task(prefix, lambda: directory.read(directory.newest))
        await asyncio.wait({reading}, timeout=read_s)
        return directory

    async def page(self, tenant: Tenant, lp_id: str) -> Page | None:
        """Return a page or variant of the tenant with its name, or None if it is not on S3.

        A page that was made since the last listing is found by its source.
        """
        directory = self._kept.get(_prefix(tenant)) or Directory(self._objects, _prefix(tenant))
        if (page := directory.pages.get(lp_id)) is not None:
            await directory.read([page])
            return page
        for folder in FOLDERS:
            found = Page(lp_id, published=folder == FOLDERS[0], source=f"{folder}{lp_id}/{SOURCE}")
            await directory.read([found])
            if found.about is not None:
                return found
        return (await self.of(tenant)).pages.get(lp_id)


def _prefix(tenant: Tenant) -> str:
    return "" if ANY in tenant.lp_ids else f"{tenant.id}-"
