"""The state of generation in Redis: requests, finished steps, joins, progress, results.

This is a view; the topics are the source of truth. Keys are `lp:<kind>:{request_id}` for a request,
`lp:<kind>:{step_id}` for a step and `lp:join:{lp_id}` for the join of a page. So a page never takes words of another
tenant's request, even if the request ids are the same.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from redis.asyncio import Redis

from infra.redis.line import RedisLine
from schemas.errors import DecodeError
from schemas.generation import Progress, Result, StepName, decode_model, encode_model, step_id_of

HOUR_S, RESULT_S, SCANNED = 3_600, 30 * 86_400, 1_000
PRESENT = "lp:present"
# keys: the digest of a request's bytes, its result, the digests of its bytes and fields; arguments: the first digest,
# its seconds, the rejection of this body or "", the digest of the fields or ""
# A release before the third key reads and writes only the first two. So the third key counts only with the first.
BEGIN = """
local first, stored = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if stored and cjson.decode(stored).status == 'rejected' then
    redis.call('DEL', KEYS[2])
    first, stored = false, false
end
if first or stored then
    local both = first and redis.call('GET', KEYS[3])
    local same = both and string.sub(both, 1, #first) == first
    return {same and both or first or ARGV[1], stored}
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if ARGV[4] ~= '' then
    redis.call('SET', KEYS[3], ARGV[1] .. ':' .. ARGV[4], 'EX', ARGV[2])
end
if ARGV[3] ~= '' then
    redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[2])
end
return {ARGV[1], false}
"""
# keys: a request's result and its two keys of digests; arguments: the result and its seconds
KEEP = """
local before = redis.call('GET', KEYS[1])
if before and cjson.decode(before).status ~= 'rejected' then
    return before
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[2])
return false
"""
# keys: of each request its result, its progress and its two keys of digests
FORGET = """
for at = 1, #KEYS, 4 do
    local stored = redis.call('GET', KEYS[at])
    if stored and cjson.decode(stored).status == 'rejected' then
        redis.call('DEL', KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3])
    end
end
"""


@dataclass(frozen=True, slots=True)
class StepState:
    """A step's result if it is finished, its finished parts by name, and whether its request is answered."""

    finished: bytes | None
    parts: dict[str, bytes]
    answered: bool


class ResultStore:
    """The store of results and steps. Every method raises Retryable if Redis does not answer."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    # -- requests and results --------------------------------------------------------------------------

    async def begin(
        self, request_id: UUID, digest: str, rejection: Result | None = None, *, of_fields: str = ""
    ) -> tuple[set[str], bytes | None]:
        """Store the digests of a request's bytes and fields if its id is free.

        Return the stored digests, and the result or None. A rejection leaves the id free, and is removed. A result
        without a digest is that of an earlier release or was restored: it passes for this body's. `rejection` is stored
        with the digest.
        """
        keys = (f"lp:request:{request_id}", f"lp:result:{request_id}", f"lp:fields:{request_id}")
        refused = b"" if rejection is None else encode_model(rejection)
        first, stored = await self._line.call(
            lambda redis: redis.eval(BEGIN, 3, *keys, digest, RESULT_S, cast(str, refused), of_fields)
        )
        return set(first.decode().split(":")), stored

    async def first(self, result: Result) -> bytes:
        """Store the result unless one is stored, and return the stored bytes: the first result wins."""
        value = encode_model(result)
        before = await self.keep(result.request_id, value, RESULT_S)
        return value if before is None else before

    async def keep(self, request_id: UUID, result: bytes, for_s: int) -> bytes | None:
        """Store a result's bytes unless some are stored. Return the bytes stored before, or None.

        A stored rejection gives way, because it may be that of a body that was corrected. The digests stay as long.
        """
        keys = (f"lp:result:{request_id}", f"lp:request:{request_id}", f"lp:fields:{request_id}")
        before = await self._line.call(lambda redis: redis.eval(KEEP, 3, *keys, cast(str, result), for_s))
        return cast("bytes | None", before)

    async def forget_rejections(self, request_ids: Sequence[UUID]) -> None:
        """Remove the requests that were rejected, with their progress and digests; other requests stay."""
        kinds = ("result", "progress", "request", "fields")
        keys = [f"lp:{kind}:{request_id}" for request_id in request_ids for kind in kinds]
        await self._line.call(lambda redis: redis.eval(FORGET, len(keys), *keys))

    async def get(self, request_id: UUID) -> bytes | None:
        """Return the stored result's bytes, or None."""
        return cast("bytes | None", await self._line.call(lambda redis: redis.get(f"lp:result:{request_id}")))

    # -- steps -----------------------------------------------------------------------------------------

    async def step(self, request_id: UUID, step_id: UUID) -> StepState:
        """Return the state of a step, so that a redelivered step repeats no work."""

        async def work(redis: Redis) -> StepState:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.get(f"lp:step:{step_id}")
                pipe.hgetall(f"lp:parts:{step_id}")
                pipe.get(f"lp:result:{request_id}")
                finished, parts, stored = await pipe.execute()
            answered = stored is not None and decode_model(Result, stored).status != "rejected"
            return StepState(finished, {name.decode(): value for name, value in parts.items()}, answered)

        return await self._line.call(work)

    async def finish_part(self, step_id: UUID, part: str, value: bytes) -> None:
        """Store a finished part of a step that is not finished yet."""

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.hset(f"lp:parts:{step_id}", part, cast(str, value))
                pipe.expire(f"lp:parts:{step_id}", HOUR_S)
                await pipe.execute()

        await self._line.call(work)

    async def finish_step(self, step_id: UUID, result: bytes) -> bytes:
        """Store a step's result unless one is stored. Return the stored result."""
        before = await self._line.call(
            lambda redis: redis.set(f"lp:step:{step_id}", result, nx=True, get=True, ex=HOUR_S)
        )
        return result if before is None else cast(bytes, before)

    async def join(self, lp_id: str, step: StepName, result: bytes) -> dict[str, bytes]:
        """Add a step's result to its page. Return all results of the page so far, by step."""
        name = f"lp:join:{lp_id}"

        async def work(redis: Redis) -> dict[bytes, bytes]:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.hsetnx(name, step.value, cast(str, result))
                pipe.expire(name, HOUR_S)
                pipe.hgetall(name)
                return cast("dict[bytes, bytes]", (await pipe.execute())[-1])

        return {name.decode(): value for name, value in (await self._line.call(work)).items()}

    # -- progress --------------------------------------------------------------------------------------

    async def put_progress(self, tenant_id: str, progress: Progress) -> None:
        """Store the latest progress for an hour."""
        await self._put_progress(tenant_id, progress, only_first=False)

    async def put_queued(self, tenant_id: str, request_id: UUID, at_ms: int) -> None:
        """Store the stage `queued`, unless a worker has already stored progress."""
        queued = Progress(request_id=request_id, percent=0, stage="queued", at_ms=at_ms)
        await self._put_progress(tenant_id, queued, only_first=True)

    async def _put_progress(self, tenant_id: str, progress: Progress, *, only_first: bool) -> None:
        value = json.dumps({"tenant_id": tenant_id, "progress": progress.model_dump(mode="json")})
        name = f"lp:progress:{progress.request_id}"
        await self._line.call(lambda redis: redis.set(name, value, ex=HOUR_S, nx=only_first))

    async def progress(self, request_id: UUID) -> tuple[str, Progress] | None:
        """Return the tenant id and the latest progress, or None."""
        value = await self._line.call(lambda redis: redis.get(f"lp:progress:{request_id}"))
        if value is None:
            return None
        entry = json.loads(cast(bytes, value))
        return entry["tenant_id"], decode_model(Progress, json.dumps(entry["progress"]).encode())

    # -- erasing ---------------------------------------------------------------------------------------

    async def of_tenant(self, tenant_id: str) -> AsyncIterator[Result]:
        """Yield every stored result of the tenant. This scans the results of all tenants."""
        cursor: int = 0
        while True:
            cursor, names = await self._line.call(
                lambda redis, at=cursor: redis.scan(at, match="lp:result:*", count=SCANNED)  # type: ignore[misc]
            )
            values = await self._line.call(lambda redis, all_=names: redis.mget(all_)) if names else []  # type: ignore[misc]
            for value in filter(None, values):
                with contextlib.suppress(DecodeError):
                    if (result := decode_model(Result, value)).tenant_id == tenant_id:
                        yield result
            if cursor == 0:
                return

    async def forget(self, request_id: bytes) -> None:
        """Remove a result."""
        await self._line.call(lambda redis: redis.unlink(b"lp:result:" + request_id))

    async def erase(self, request_id: UUID, lp_id: str) -> None:
        """Remove all keys of a request and the join of its page."""
        steps = [step_id_of(request_id, name) for name in StepName]
        of_steps = [f"lp:{kind}:{step}" for step in steps for kind in ("step", "parts")]
        of_request = [f"lp:{kind}:{request_id}" for kind in ("request", "fields", "result", "progress")]
        await self._line.call(lambda redis: redis.unlink(*of_request, *of_steps, f"lp:join:{lp_id}"))

    # -- the mark that shows whether Redis lost its data -----------------------------------------------

    async def present(self) -> bool:
        """Return whether Redis is marked as present. Without the mark Redis is new or lost its data."""
        return await self._line.call(lambda redis: redis.get(PRESENT)) == b"1"

    async def mark_restoring(self) -> None:
        """Mark Redis as being restored, unless another worker has done it."""
        await self._line.call(lambda redis: redis.set(PRESENT, "restoring", nx=True))

    async def mark_present(self) -> None:
        """Mark Redis as present, unless it lost its data again since `mark_restoring`."""
        await self._line.call(lambda redis: redis.set(PRESENT, "1", xx=True))
