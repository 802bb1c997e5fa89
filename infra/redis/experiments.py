"""The view of experiments in Redis: the newest state of each page, and a row of changes for readers.

The topic is the source of truth. A state replaces an older state only, by `ExperimentState.order`, so a late writer
changes nothing.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis

from infra.redis.line import RedisLine
from schemas.autopilot import AutopilotState
from schemas.experiments import ExperimentState, PastWeights
from schemas.generation import encode_model

STATES, CHANGES, CHANGE, WEIGHTS = (f"lp:experiments{part}" for part in ("", ":changes", ":change", ":weights"))
PILOTS, WAITING = "lp:autopilots", "lp:autopilots:waiting"
SENT, SENT_S = "lp:experiments:sent:%s", 3_600  # as long as the topic surely has a command that is not carried out
# Notes of two edges may come in another order than their commands stand in the log. Within a minute the offset decides,
# or the time if an edge of an earlier release notes no offset. Commands that are further apart do not cross.
NOTE = """
local stored = redis.call('GET', KEYS[1])
if stored then
  local old, new = cjson.decode(stored), cjson.decode(ARGV[1])
  local by = old.offset and new.offset and 'offset' or 'requested_ms'
  if old[by] > new[by] and new.requested_ms - old.requested_ms < 60000 then return end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
"""
MOST_CHANGES = 500
# The number of a change is at least the time (ms), so that it also grows after Redis has lost data.
PUT = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then
  local old = cjson.decode(before)
  for at, name in ipairs({'epoch', 'started_ms', 'number'}) do
    local had, has = tonumber(old[name]), tonumber(ARGV[2 + at])
    if has > had then break end
    if has < had or at == 3 then return 0 end
  end
end
local now, last = redis.call('TIME'), tonumber(redis.call('GET', KEYS[3]) or 0)
local change = math.max(last + 1, now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('SET', KEYS[3], string.format('%.0f', change))
redis.call('ZADD', KEYS[2], string.format('%.0f', change), ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class ExperimentStore:
    """The view. Every method raises Retryable if Redis does not answer."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    async def put(self, states: Sequence[ExperimentState], weights: Sequence[PastWeights] = ()) -> list[bool]:
        """Store each state that is newer than the stored state of its page, and past weights as they are.

        Return which states were stored.
        """
        entries = [(state.lp_id, encode_model(state), *state.order) for state in states]

        async def work(redis: Redis) -> list[Any]:
            async with redis.pipeline(transaction=False) as pipe:
                for entry in entries:
                    pipe.eval(PUT, 3, STATES, CHANGES, CHANGE, *cast("tuple[str, ...]", entry))
                for past in weights:
                    pipe.hset(WEIGHTS, past.lp_id, cast(str, encode_model(past)))
                return await pipe.execute()

        return [bool(stored) for stored in (await self._line.call(work))[: len(entries)]]

    async def highest_epoch(self) -> int:
        """Return the highest epoch of any state, 0 without states."""
        values = cast("list[bytes]", await self._line.call(lambda redis: redis.hvals(STATES)))
        return max((int(json.loads(value)["epoch"]) for value in values), default=0)

    async def get(self, lp_id: str) -> bytes | None:
        """Return the bytes of the page's newest state, or None."""
        return cast("bytes | None", await self._line.call(lambda redis: redis.hget(STATES, lp_id)))

    async def weights(self, lp_id: str) -> bytes | None:
        """Return the bytes of the past weights of the page's experiment, or None."""
        return cast("bytes | None", await self._line.call(lambda redis: redis.hget(WEIGHTS, lp_id)))

    async def note(self, key: str, command: bytes) -> None:
        """Store the last command that an edge has sent under a key of the topic, with its `offset`.

        A command that comes before the stored one changes nothing.
        """
        await self._line.call(lambda redis: redis.eval(NOTE, 1, SENT % key, command, SENT_S))

    async def sent(self, key: str) -> bytes | None:
        """Return the last command that was sent under the key within SENT_S, or None."""
        return cast("bytes | None", await self._line.call(lambda redis: redis.get(SENT % key)))

    async def put_pilots(self, states: Sequence[AutopilotState]) -> None:
        """Store the states of autopilots as they are, and which pages wait for a person's approval."""

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                for state in states:
                    pipe.hset(PILOTS, state.lp_id, cast(str, encode_model(state)))
                    (pipe.sadd if state.step == "waiting_approval" else pipe.srem)(WAITING, state.lp_id)
                await pipe.execute()

        await self._line.call(work)

    async def pilot(self, lp_id: str) -> bytes | None:
        """Return the bytes of the newest state of the page's autopilot, or None."""
        return cast("bytes | None", await self._line.call(lambda redis: redis.hget(PILOTS, lp_id)))

    async def waiting(self) -> set[str]:
        """Return the pages of all tenants whose autopilot waits for a person's approval."""
        members = await self._line.call(lambda redis: redis.smembers(WAITING))
        return {lp_id.decode() for lp_id in cast("set[bytes]", members)}

    async def size(self) -> int:
        """Return the number of pages with a state."""
        return cast(int, await self._line.call(lambda redis: redis.hlen(STATES)))

    async def changed(self, since: int) -> tuple[int, list[bytes]]:
        """Return the number of the last change, and the states that changed after `since`.

        There are at most MOST_CHANGES: call again until there are none.
        """

        async def work(redis: Redis) -> tuple[int, list[bytes]]:
            found = await redis.zrange(
                CHANGES, f"({since}", "+inf", byscore=True, offset=0, num=MOST_CHANGES, withscores=True
            )
            rows = cast("list[tuple[bytes, float]]", found)
            if not rows:
                return since, []
            values = cast("list[bytes | None]", await redis.hmget(STATES, [name.decode() for name, _ in rows]))
            return int(rows[-1][1]), [value for value in values if value is not None]

        return await self._line.call(work)

    async def forget(self, lp_id: str) -> None:
        """Remove the page's state, its past weights, its last commands and its autopilot."""

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.hdel(STATES, lp_id)
                pipe.hdel(WEIGHTS, lp_id)
                pipe.delete(SENT % f"command:{lp_id}", SENT % f"autopilot-command:{lp_id}")
                pipe.hdel(PILOTS, lp_id)
                pipe.srem(WAITING, lp_id)
                pipe.zrem(CHANGES, lp_id)
                await pipe.execute()

        await self._line.call(work)
