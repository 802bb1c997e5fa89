"""Probes beside the load: whether the edge answers, and when a beacon can be queried."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp

from infra.clickhouse.client import ClickHouse
from schemas.errors import LpstreamError
from streams.proof.verify.place import Place
from streams.proof.visitors import probe

EVERY_S, POLL_S, WITHIN_S = 0.5, 0.5, 5.0
CONNECTIONS_EVERY_S = 2.0
METRIC = 'lpstream_edge_connections{listener="public"}'
SEEN = "SELECT DISTINCT lp_id FROM heatmap_views WHERE startsWith(lp_id, {prefix:String})"


@dataclass(slots=True)
class Probes:
    """The probes and their results.

    `answered` holds (seconds after the start, door, whether it answered within 5 s). `sent` and `seen` hold the
    monotonic times of posting and of the first SELECT with the beacon, by page name.
    """

    place: Place
    lp_id: str
    prefix: str
    began: float
    answered: list[tuple[float, str, bool]] = field(default_factory=list)
    sent: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    connections: list[tuple[float, int]] = field(default_factory=list)

    def delays_s(self) -> list[float]:
        """Return the seconds from posting to the first SELECT with the beacon, for all beacons seen."""
        return [self.seen[name] - at for name, at in self.sent.items() if name in self.seen]

    @property
    def unseen(self) -> list[str]:
        """The acknowledged beacons that no SELECT has returned yet."""
        return [name for name in self.sent if name not in self.seen]

    def availability(self) -> float | None:
        """Return the share of answered probes; None without probes."""
        return sum(ok for _, _, ok in self.answered) / len(self.answered) if self.answered else None

    async def ask(self) -> None:
        """Send pages and beacons in turn until cancelled; each on a new connection, as a new visitor does."""
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            number = 0
            while True:
                group.create_task(self._page(session) if number % 2 else self._beacon(session, number))
                number += 1
                await asyncio.sleep(EVERY_S)

    async def _page(self, session: aiohttp.ClientSession) -> None:
        at, ok = time.monotonic(), False
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):  # no answer is a result too: `ok` stays False
            async with session.get(f"{self.place.edge}/lp/{self.lp_id}") as answer:
                ok = answer.status == 200 and bool(await answer.read())
        self.answered.append((at - self.began, "page", ok))

    async def _beacon(self, session: aiohttp.ClientSession, number: int) -> None:
        at, ok, name = time.monotonic(), False, f"{self.prefix}{number:06d}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(f"{self.place.edge}/e/heatmap.events", data=probe(name, str(uuid4()))) as answer:
                ok = answer.status == 204
        self.answered.append((at - self.began, "beacon", ok))
        if ok:
            self.sent[name] = at

    async def look(self, clickhouse: ClickHouse) -> None:
        """Query ClickHouse for the beacons until cancelled."""
        while True:
            if self.unseen:
                try:
                    rows = await clickhouse.rows(SEEN, {"prefix": self.prefix})
                except LpstreamError:
                    rows = []
                now = time.monotonic()
                for row in rows:
                    self.seen.setdefault(row["lp_id"], now)
            await asyncio.sleep(POLL_S)

    async def count_connections(self) -> None:
        """Read the edge's metric of open connections until cancelled."""
        headers = {"Authorization": f"Bearer {self.place.token}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as session:
            while True:
                try:
                    async with session.get(f"{self.place.api}/metrics") as answer:
                        lines = (await answer.text()).splitlines()
                except (aiohttp.ClientError, TimeoutError):
                    lines = []
                for line in lines:
                    if line.startswith(METRIC):
                        self.connections.append((time.monotonic() - self.began, int(float(line.rpartition(" ")[2]))))
                await asyncio.sleep(CONNECTIONS_EVERY_S)
