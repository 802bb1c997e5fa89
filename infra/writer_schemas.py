"""Schemas of the programs that write framed Avro, from the installation's schema registry.

Clients may register a schema of their own under a topic's subject: an earlier or later version of the project's schema,
or that of a generated Java class. A value names its schema by id, and the codec needs the schema to read the value.
"""

import contextlib
import hashlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable

from cachetools import LRUCache, TTLCache

from infra.schema_registry import NOT_FOUND, ConfluentRegistry, OwnSchemas, Schema
from infra.single_flight import SingleFlight
from schemas.avro_bounds import check_readable
from schemas.codec import learn_ids, learn_writer, registry, unknown_ids
from schemas.errors import DecodeError, Refused, Retryable

# a client registers its schema before it writes, so an id without a schema usually never gets one
REFUSED_S, MOST_REFUSED = 60.0, 1_000
# most look-ups of unknown ids in a time: values with invented ids must not make a call each
MOST_ASKED, ASKED_S = 16, 10.0
AGAIN_S = 0.5
MOST_KNOWN = 64
MOST_ID = 2**31 - 1  # a registry may answer a larger number with an error that looks like an outage

# the name of the project's schema, and the id or the digest of the text
Key = tuple[str, int | bytes]


class TooManyUnknown(Retryable):
    """A look-up that is not made now, because many schemas were unknown in the last seconds."""


class WriterSchemas:
    """The schemas of writers. Each is asked for once, and the codec then reads its values.

    Without a registry there are only the project's schemas.
    """

    def __init__(
        self, source: ConfluentRegistry | None, clock: Callable[[], float] = time.monotonic, *, limited: bool = True
    ) -> None:
        """Set the registry. `limited` says whether unknown schemas limit the look-ups of others."""
        self._limited = limited
        self._source = source
        self._clock = clock
        self._known: LRUCache[Key, Schema] = LRUCache(MOST_KNOWN)
        self._refused: TTLCache[Key, None] = TTLCache(MOST_REFUSED, REFUSED_S, clock)
        self._asked: TTLCache[int, None] = TTLCache(MOST_ASKED, ASKED_S, clock)
        self._count = 0
        self._try_at = 0.0

    async def learn(self, name: str, values: Iterable[bytes | None]) -> None:
        """Look up the unknown schemas of framed values, so that the codec can read the values.

        `name` is the project's schema that the values must fit. Raise Retryable if the registry does not answer. Over
        the limit of look-ups a schema stays unknown, and the codec refuses its values: a writer that invents ids must
        not make other records wait.
        """
        with contextlib.suppress(TooManyUnknown):
            await self.learn_all(name, values)

    async def learn_all(self, name: str, values: Iterable[bytes | None]) -> None:
        """Look up the values' unknown schemas, like `learn`.

        Raise TooManyUnknown if the limit leaves a schema unknown.
        """
        if self._source is not None:
            for schema_id in unknown_ids(name, values):
                with contextlib.suppress(Refused):
                    await self.by_id(name, schema_id)

    async def by_id(self, name: str, schema_id: int) -> Schema:
        """Return the schema with that id of the subject, which the codec can then read.

        Raise Refused if the subject has no such schema, TooManyUnknown if many were unknown in the last seconds.
        """
        if not 0 <= schema_id <= MOST_ID:
            raise Refused("this number is no id of a schema", NOT_FOUND)
        return await self._look_up((name, schema_id), lambda source, subject: source.by_id(subject, schema_id))

    async def by_text(self, name: str, text: str) -> Schema:
        """Return the subject's schema with that text, as `by_id` does."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return await self._look_up(
            (name, digest), lambda source, subject: source.by_text(subject, text, register=False)
        )

    async def _look_up(self, key: Key, ask: Callable[[ConfluentRegistry, str], Awaitable[Schema]]) -> Schema:
        if (known := self._known.get(key)) is not None:
            return known
        name, subject = key[0], str(registry()[key[0]]["subject"])
        if self._source is None or key in self._refused:
            raise Refused(f"subject {subject} does not have this schema", NOT_FOUND)
        if self._clock() < self._try_at:
            raise Retryable("the schema registry does not answer")
        turn = self._turn()
        try:
            schema = await ask(self._source, subject)
            check_readable(schema.shape.parsed, schema.shape.named)
        except Retryable:
            self._asked.pop(turn, None)  # no answer is no sign of an invented id
            self._try_at = self._clock() + AGAIN_S
            raise
        except (Refused, DecodeError) as error:
            self._refused[key] = None
            code = error.code if isinstance(error, Refused) else None
            raise Refused(str(error), code or NOT_FOUND) from error
        learn_writer(name, schema.id, schema.shape.parsed)
        self._asked.pop(turn, None)
        self._known[key] = schema
        return schema

    def _turn(self) -> int:
        """Register a new look-up and return its number.

        Raise TooManyUnknown if MOST_ASKED look-ups of the last ASKED_S seconds have found no schema.
        """
        if self._limited and len(self._asked) >= MOST_ASKED:
            raise TooManyUnknown("too many unknown schemas were looked up in the last seconds", ASKED_S)
        self._count += 1
        self._asked[self._count] = None
        return self._count

    async def aclose(self) -> None:
        """Close the connections to the registry."""
        if self._source is not None:
            await self._source.close()


class LateSchemas:
    """The project's own schemas with the ids of a registry, and other writers' schemas of its subjects.

    The first use asks the registry for the ids.
    """

    def __init__(self, registry_: ConfluentRegistry, again_s: float = 1.0) -> None:
        """Pause requests for `again_s` after a failure, because clients may ask at any rate."""
        self._registry = registry_
        self._writers = WriterSchemas(registry_)
        self._again_s = again_s
        self._own: OwnSchemas | None = None
        self._asking: SingleFlight[OwnSchemas] = SingleFlight()
        self._failed_at = -math.inf

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """Return the subject's schema with this text, as `SchemaRegistry.by_text` does."""
        try:
            return await (await self.own()).by_text(subject, text, register=register)
        except Refused as error:
            if error.code != NOT_FOUND:
                raise
            return await self._writers.by_text(_name_of(subject), text)

    async def by_id(self, subject: str, schema_id: int) -> Schema:
        """Return the subject's schema with this id, as `SchemaRegistry.by_id` does."""
        try:
            return await (await self.own()).by_id(subject, schema_id)
        except Refused:
            return await self._writers.by_id(_name_of(subject), schema_id)

    async def learn(self, subject: str, value: bytes) -> None:
        """Let the codec read a framed value. Raise TooManyUnknown over the limit of look-ups."""
        await self.own()
        await self._writers.learn_all(_name_of(subject), [value])

    async def close(self) -> None:
        """Do nothing: the owner closes the registry."""

    async def own(self) -> OwnSchemas:
        """Return the schemas, and let the codecs decode values with these ids.

        Raise Retryable if the registry does not answer.
        """
        if self._own is None:
            if time.monotonic() - self._failed_at < self._again_s:
                raise Retryable("the schema registry does not answer")
            return await self._asking.run("own", self._ask)
        return self._own

    async def _ask(self) -> OwnSchemas:
        try:
            ids = await self._registry.own_ids()
        except Retryable:
            self._failed_at = time.monotonic()
            raise
        learn_ids(ids)
        self._own = OwnSchemas(ids)
        return self._own


def _name_of(subject: str) -> str:
    """Return the name of the project's schema of a subject. Raise Refused for another subject."""
    for name, entry in registry().items():
        if entry["subject"] == subject:
            return name
    raise Refused(f"subject {subject} has no schema of lpstream", NOT_FOUND)
