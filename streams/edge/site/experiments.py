"""The edge's own copy of all experiments, so that no visitor waits for a store.

It is read from the topic at the start, then from Redis in the background. With Redis away the last known state stays.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.redis.experiments import ExperimentStore
from processors.experiments.assignment import COOKIE, KEPT_S, bounds_of
from schemas.errors import DecodeError, LpstreamError, Retryable
from schemas.experiments import EXPERIMENTS, ExperimentState
from schemas.generation import decode_model
from streams.experiments.topic import read_states
from streams.runtime.experiment_settings import PAGE_S
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

POLL_S, TOPIC_S = 2.0, 10.0
READ_ALL_S = 60.0  # a replica of Redis that takes over may count its changes from an older number
PAGE_CACHE = f"public, max-age={PAGE_S}"
# until the experiments are known, caches may keep a page for a minute only
UNKNOWN_CACHE = "public, max-age=60"


@dataclass(frozen=True, slots=True)
class Running:
    """A page whose visitors are shared among arms. `cookies` has the Set-Cookie header of each arm.

    `before` is the page that visitors saw before the experiment: the page itself or an earlier winner.
    """

    before: str
    arms: tuple[str, ...]
    bounds: tuple[float, ...]
    cookies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Won:
    """A page whose content is that of another page, the winner."""

    winner: str


@dataclass(frozen=True, slots=True)
class ArmOf:
    """An arm's own address. Visitors are sent to the page that it is an arm of."""

    lp_id: str


Serving = Running | Won | ArmOf


class Experiments:
    """The states by page, and the kind of answer at each address.

    A page without an experiment costs one look-up.
    """

    def __init__(self, store: ExperimentStore, settings: Settings) -> None:
        self.store = store
        self.serving: dict[str, Serving] = {}
        self.page_cache = UNKNOWN_CACHE
        self._settings = settings
        self._states: dict[str, ExperimentState] = {}
        self._sent: dict[str, bytes] = {}
        self._change, self._read_all_at = 0, 0.0
        self._loudness = logging.WARNING
        self._task: asyncio.Task[None] | None = None

    @property
    def states(self) -> Mapping[str, ExperimentState]:
        """The newest known state of each page."""
        return self._states

    async def start(self) -> None:
        """Read the topic, then follow Redis until `stop`. Redis may have just lost states."""
        await self._read_topic()
        await self._look_again()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def take(self, states: Iterable[ExperimentState]) -> None:
        """Use each state that is newer than the known state of its page."""
        for state in states:
            before = self._states.get(state.lp_id)
            if before is not None and before.order >= state.order:
                continue
            self._states[state.lp_id] = state
            for arm in before.arms if before is not None else ():
                # an arm, or the page itself, may be part of another page's experiment by now
                mine = self.serving.get(arm)
                if mine == ArmOf(state.lp_id) or (arm == state.lp_id and not isinstance(mine, ArmOf)):
                    self.serving.pop(arm, None)
            self.serving |= serving_of(state, secure=self._settings.page_base_url.startswith("https:"))

    async def note(self, key: str, command: bytes) -> None:
        """Note the last command that was sent under a key, for all edges; while Redis is away, for this one."""
        self._sent[key] = command
        with contextlib.suppress(Retryable):
            await self.store.note(key, command)

    async def sent(self, key: str) -> bytes | None:
        """Return the last command that was sent under a key within the hour, or None."""
        try:
            return await self.store.sent(key)
        except Retryable:
            return self._sent.get(key)

    async def look(self) -> None:
        """Read the changes since the last look. Raise Retryable if Redis does not answer."""
        if time.monotonic() >= self._read_all_at:
            self._change, self._read_all_at = 0, time.monotonic() + READ_ALL_S
        while True:
            self._change, values = await self.store.changed(self._change)
            self.take(_decoded(values))
            if not values:
                self.page_cache = PAGE_CACHE
                return

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self._look_again()

    async def _look_again(self) -> None:
        try:
            await self.look()
        except LpstreamError:
            if self.page_cache == UNKNOWN_CACHE:
                await self._read_topic()
        except Exception:
            log.exception("experiments cannot be read; the last known stay")

    async def _read_topic(self) -> None:
        try:
            async with asyncio.timeout(TOPIC_S):
                self.take(await read_states(self._settings.kafka_bootstrap_servers))
        except (LpstreamError, TimeoutError) as error:
            log.log(self._loudness, "%s was not read: %s: %s", EXPERIMENTS, type(error).__name__, error)
            self._loudness = logging.DEBUG  # a line every two seconds says nothing new
        else:
            self.page_cache = PAGE_CACHE


def serving_of(state: ExperimentState, *, secure: bool) -> dict[str, Serving]:
    """Return the kind of answer at the address of the page and at those of its arms."""
    serving: dict[str, Serving] = {arm: ArmOf(state.lp_id) for arm in state.bound if arm != state.lp_id}
    if state.status == "running":
        cookies = tuple(_cookie(state.lp_id, arm, secure=secure) for arm in state.arms)
        serving[state.lp_id] = Running(state.shown, tuple(state.arms), bounds_of(state.weights), cookies)
    elif state.shown != state.lp_id:
        serving[state.lp_id] = Won(state.shown)
    return serving


def _cookie(lp_id: str, arm: str, *, secure: bool) -> str:
    path = f"Path=/lp/{lp_id}; Max-Age={KEPT_S}; HttpOnly; SameSite=Lax"
    return f"{COOKIE}={arm}; {path}{'; Secure' if secure else ''}"


def _decoded(values: Iterable[bytes]) -> Iterable[ExperimentState]:
    for value in values:
        try:
            yield decode_model(ExperimentState, value)
        except DecodeError as error:
            log.warning("Redis holds a state of an experiment that cannot be read: %s", error)
