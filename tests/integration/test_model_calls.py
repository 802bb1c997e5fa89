"""The real openai client against the simulated provider: every outcome of a call."""

import asyncio
import json
import time

import pytest
from patience import SLACK_S
from providers import MESSAGES, QUICK, Simulated, simulated

from infra.llm.dialect import Dialect
from infra.llm.endpoint import Endpoint
from infra.llm.stream import Call, Limits, Reply, open_client
from streams.proof.provider.script import FAULTS, Script

PATIENT = Limits(
    first_token_s=30.0, idle_s=30.0, total_s=60.0
)  # long, so that a busy machine does not look like a fault
# A silent fault ends at the limit for that fault; the other limits are long.
SHORT = {
    "hang_headers": Limits(1.0, 30.0, 60.0),
    "hang_first": Limits(1.0, 30.0, 60.0),
    "stall": Limits(30.0, 0.6, 60.0),
    "drip": Limits(30.0, 30.0, 1.5),
}
MOST_TOKENS = 200


async def ask(one: Simulated, limits: Limits = PATIENT, most_tokens: int = MOST_TOKENS) -> Reply:
    endpoint = one.endpoint()
    client = open_client(endpoint, connections=10, cap_s=60.0)
    try:
        return await Call(client, endpoint, Dialect(endpoint), limits).run(MESSAGES, most_tokens, "call-1")
    finally:
        await client.close()


def faulty(fault: str) -> Script:
    return Script(total_s=0.25, first_token_s=0.08, profiles={fault: 1.0}, retry_after_s=7.0, drip_s=0.2)


async def test_an_answer_has_text_times_and_cost() -> None:
    async with simulated(Script(total_s=0.5, first_token_s=0.2, spread=0)) as one:
        reply = await ask(one)
        line = one.provider.bill.lines[0]
    assert reply.outcome == "ok" and json.loads(reply.text)["catch"]
    assert reply.first_token_s is not None and 0.2 <= reply.first_token_s < reply.total_s
    assert reply.usage is not None and line.whole and line.call_id == "call-1"
    assert one.endpoint().cost(reply.usage) == line.micro_jpy > 0


@pytest.mark.parametrize(
    ("fault", "outcome", "billing"),
    [
        ("http_429", "http_429", "nothing"),
        ("http_500", "http_500", "nothing"),
        ("hang_headers", "first_token_timeout", "unknown"),
        ("hang_first", "first_token_timeout", "unknown"),
        ("stall", "idle_timeout", "unknown"),
        ("drip", "total_timeout", "unknown"),
        ("cut", "cut_off", "unknown"),
        ("empty", "empty", "usage"),
        ("malformed", "ok", "usage"),
        ("wrong_schema", "ok", "usage"),
        ("error_in_stream", "stream_error", "unknown"),
        ("length", "finish_length", "usage"),
        ("content_filter", "finish_content_filter", "usage"),
    ],
)
async def test_every_fault_has_its_own_outcome(fault: str, outcome: str, billing: str) -> None:
    async with simulated(faulty(fault)) as one:
        reply = await ask(one, SHORT.get(fault, PATIENT))
    assert (reply.outcome, reply.billing) == (outcome, billing)
    assert reply.retry_after_s == (7.0 if fault == "http_429" else None)


def test_every_fault_of_the_simulator_is_tested() -> None:
    [mark] = [mark for mark in test_every_fault_has_its_own_outcome.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {fault for fault, *_ in mark.args[1]} == set(FAULTS)


async def test_a_provider_that_refuses_connections_bills_nothing() -> None:
    async with simulated() as one:
        stopped = one
    reply = await ask(stopped)
    assert (reply.outcome, reply.billing) == ("refused", "nothing")


async def test_an_unresolvable_host_is_refused() -> None:
    endpoint = Endpoint("one", "http://nowhere.invalid/v1", "key", "m", 1, 1)
    client = open_client(endpoint, connections=1, cap_s=5.0)
    reply = await Call(client, endpoint, Dialect(endpoint), PATIENT).run(MESSAGES, 10, "x")
    await client.close()
    assert reply.outcome in ("refused", "first_token_timeout")


async def test_an_answer_over_the_token_limit_ends_with_length() -> None:
    async with simulated() as one:
        assert (await ask(one, most_tokens=3)).outcome == "finish_length"


async def test_a_cancelled_call_closes_its_connection_and_is_billed() -> None:
    async with simulated(Script(total_s=3 * SLACK_S, first_token_s=0.1, spread=0)) as one:
        task = asyncio.create_task(ask(one))
        while not one.provider.bill.lines or not one.provider.bill.lines[0].completion_tokens:
            await asyncio.sleep(0.02)
        task.cancel()
        started = time.monotonic()
        while one.provider.bill.open:
            await asyncio.sleep(0.02)
            assert time.monotonic() - started < SLACK_S
        line = one.provider.bill.lines[0]
    assert not line.whole and line.micro_jpy > 0


async def test_a_rate_limit_with_status_200_costs_nothing() -> None:
    async with simulated(faulty("busy_base_resp")) as one:
        reply = await ask(one)
    assert (reply.outcome, reply.billing, reply.retry_after_s) == ("stream_error", "nothing", 1.0)


@pytest.mark.parametrize("profile", ["limit_range", "limit_pydantic", "limit_in_stream"])
async def test_a_refused_token_limit_is_lowered_within_the_call(profile: str) -> None:
    async with simulated(faulty(profile)) as one:
        reply = await ask(one, most_tokens=2_500)
        assert (reply.outcome, reply.limit, len(one.provider.bill.lines)) == ("ok", 1_900, 2)


async def test_many_calls_run_in_parallel() -> None:
    async with simulated(QUICK) as one:
        endpoint = one.endpoint()
        client = open_client(endpoint, connections=100, cap_s=60.0)
        replies = await asyncio.gather(
            *(
                Call(client, endpoint, Dialect(endpoint), PATIENT).run(MESSAGES, MOST_TOKENS, f"c{number}")
                for number in range(60)
            )
        )
        await client.close()
        assert {reply.outcome for reply in replies} == {"ok"}
        assert one.provider.bill.most_open > 30
