"""Generation's state in Redis: requests, finished steps, joins, progress, results.

A view: the topics are the truth.
"""

import json
from collections.abc import Awaitable
from typing import Any, TypeVar, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.errors import Retryable
from schemas.generation import Progress, Result, StepName, decode_model, encode_model

Answer = TypeVar("Answer")
HOUR_S, RESULT_S = 3_600, 30 * 86_400


class ResultStore:
    """All keys of one request are `lp:<what>:{request_id}`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def _call(self, work: Awaitable[Answer]) -> Answer:
        try:
            return await work
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(f"Redis: {type(error).__name__}") from error

    async def first(self, result: Result) -> bytes:
        """Store the result unless there is one; what is stored. The first wins, also against a redelivery."""
        mine = encode_model(result)
        key = f"lp:result:{result.request_id}"
        before = await self._call(self._redis.set(key, mine, nx=True, get=True, ex=RESULT_S))
        return mine if before is None else cast(bytes, before)

    async def get(self, request_id: UUID) -> bytes | None:
        """The stored result's bytes."""
        return cast("bytes | None", await self._call(self._redis.get(f"lp:result:{request_id}")))

    async def claim(self, request_id: UUID, request: dict[str, Any]) -> dict[str, Any]:
        """Keep what is known of a request unless something is kept; what is kept."""
        mine = json.dumps(request, ensure_ascii=False)
        key = f"lp:request:{request_id}"
        before = await self._call(self._redis.set(key, mine, nx=True, get=True, ex=HOUR_S))
        kept: dict[str, Any] = json.loads(cast(bytes, before)) if before is not None else request
        return kept

    async def request(self, request_id: UUID) -> dict[str, Any] | None:
        """What `claim` kept."""
        found = await self._call(self._redis.get(f"lp:request:{request_id}"))
        kept: dict[str, Any] | None = json.loads(cast(bytes, found)) if found is not None else None
        return kept

    async def finished_step(self, step_id: UUID) -> bytes | None:
        """A finished step's result, so that a redelivered step repeats nothing."""
        return cast("bytes | None", await self._call(self._redis.get(f"lp:step:{step_id}")))

    async def finish_step(self, step_id: UUID, result: bytes) -> None:
        """Keep a finished step's result for an hour."""
        await self._call(self._redis.set(f"lp:step:{step_id}", result, ex=HOUR_S))

    async def join(self, request_id: UUID, step: StepName, result: bytes) -> dict[str, bytes]:
        """Add a step's result; all that have come so far, by step."""
        key = f"lp:join:{request_id}"
        pipe = self._redis.pipeline(transaction=True)
        pipe.hsetnx(key, step.value, cast(str, result))
        pipe.expire(key, HOUR_S)
        pipe.hgetall(key)
        found = (await self._call(pipe.execute()))[-1]
        return {name.decode(): value for name, value in found.items()}

    async def put_progress(self, tenant_id: str, progress: Progress) -> None:
        """Keep the last progress for an hour."""
        value = json.dumps({"tenant_id": tenant_id, "progress": progress.model_dump(mode="json")})
        await self._call(self._redis.set(f"lp:progress:{progress.request_id}", value, ex=HOUR_S))

    async def put_queued(self, tenant_id: str, request_id: UUID, at_ms: int) -> None:
        """Note that a request is in the topic, unless a worker was quicker."""
        queued = Progress(request_id=request_id, percent=0, stage="queued", at_ms=at_ms)
        value = json.dumps({"tenant_id": tenant_id, "progress": queued.model_dump(mode="json")})
        await self._call(self._redis.set(f"lp:progress:{request_id}", value, ex=HOUR_S, nx=True))

    async def progress(self, request_id: UUID) -> tuple[str, Progress] | None:
        """Tenant and last progress."""
        found = await self._call(self._redis.get(f"lp:progress:{request_id}"))
        if found is None:
            return None
        kept = json.loads(cast(bytes, found))
        return kept["tenant_id"], decode_model(Progress, json.dumps(kept["progress"]).encode())
