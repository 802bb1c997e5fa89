"""Refusals of model providers: their subject, and what the form of requests learns from them."""

import json
import traceback
from typing import Any

import pytest

from infra.llm.dialect import Dialect
from infra.llm.endpoint import Endpoint
from infra.llm.events import Answer
from infra.llm.refusals import Refusal, refusal_in_stream, refusal_of
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest, decode_model

USER = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
SENT = ("messages", "max_tokens", "stream_options", "response_format", "temperature", "safety_identifier", "moderation")


def endpoint(limit_field: str = "max_tokens", head_room: int = 0, **options: Any) -> Endpoint:
    return Endpoint("one", "http://a", "secret-key", "m", 1, 1, limit_field, options=options, head_room=head_room)


def of_http(status: int, words: str, **rest: Any) -> Refusal:
    error = {"message": words, "type": "invalid_request_error", **rest}
    return refusal_of(status, {"error": error}, "secret-key", SENT)


def of_stream(chunk: dict[str, Any] | list[Any]) -> Refusal:
    answer = Answer()
    answer.feed(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())
    assert answer.error
    return refusal_in_stream(answer.error, "secret-key")


@pytest.mark.parametrize(
    ("chunk", "about"),
    [
        ({"error": {"message": "Filtered due to the content management policy.", "code": "400"}}, "input"),
        ({"error": {"code": "data_inspection_failed"}}, "input"),
        ({"error": {"code": "content_filter", "status": 404}}, "input"),
        ({"error": {"message": "系统检测到输入或生成内容可能包含敏感内容", "code": "1301"}}, "input"),
        ({"error": {"code": "json_validate_failed", "status_code": 400}}, "request"),
        ({"error": {"type": "bad_request_error", "message": "invalid params", "http_code": "400"}}, "request"),
        ({"error": {"type": "invalid_request_error", "message": "wrong"}}, "request"),
        ({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}, "load"),
        ({"error": {"type": "overloaded_error", "message": "Overloaded"}}, "load"),
        ({"error": {"type": "overloaded_error", "code": 500}}, "load"),
        ({"error": {"status": "RESOURCE_EXHAUSTED", "message": "quota"}}, "load"),
        ({"error": {"message": "slow down", "code": "429"}}, "load"),
        ({"error": "Rate limit reached", "code": 429}, "load"),
        ({"error": [{"code": 503}]}, "load"),
        ([{"error": {"code": 503}}], "load"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "load"),
        ({"error": {"type": "authentication_error", "message": "no"}}, "account"),
        ({"error": {"message": "Insufficient Balance", "code": None}}, "account"),
        ({"object": "error", "code": 400, "message": "This schema cannot be followed."}, "request"),
        ({"object": "error", "code": 500, "message": "EngineCore died", "type": "InternalServerError"}, "service"),
        ({"error": {"message": "Internal server error", "type": "server_error", "code": None}}, "service"),
        ({"error": {"message": "lost", "code": True}}, "service"),
        ({"choices": [{"index": 0, "error": {"code": 403, "message": "your input was flagged"}}]}, "input"),
        ({"choices": [{"index": 0, "finish_reason": "error", "error": {"code": 429, "message": "busy"}}]}, "load"),
        ({"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}, "input"),
        ({"choices": None, "base_resp": {"status_code": "1027", "status_msg": ""}}, "input"),
        ({"base_resp": {"status_code": 1002, "status_msg": "limit"}}, "load"),
        ({"base_resp": {"status_code": 1008, "status_msg": "balance"}}, "account"),
        ({"base_resp": {"status_code": 1000, "status_msg": "unknown error"}}, "service"),
    ],
)  # fmt: skip
def test_an_error_within_a_stream_has_its_subject(chunk: dict[str, Any] | list[Any], about: str) -> None:
    assert of_stream(chunk).about == about


@pytest.mark.parametrize("base", [{"status_code": 0, "status_msg": "success"}, {}, None, "x", {"status_code": None}])
def test_a_code_of_success_is_no_error(base: Any) -> None:
    answer = Answer()
    answer.feed(f"data: {json.dumps({'choices': [], 'base_resp': base})}\n\n".encode())
    assert not answer.error


def test_an_error_behind_the_ending_that_it_caused_counts() -> None:
    answer = Answer()
    answer.feed(
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\ndata: {"error":{"code":429}}\n\n'
    )
    assert answer.error and refusal_in_stream(answer.error, "k").about == "load"


@pytest.mark.parametrize(
    ("status", "words", "about"),
    [
        (400, "Unknown parameter: 'safety_identifier'.", "request"),
        (400, "Unknown name \"safety_settings\": Cannot find field.", "request"),
        (400, "'moderation' is not supported with this model.", "request"),
        (400, "stream_options is prohibited when stream is false", "request"),
        (400, "Model names are case-sensitive; did you mean gpt-4?", "account"),
        (403, "Access to this model is prohibited by your organization", "account"),
        (403, "Your account has been flagged for violating our usage policies", "account"),
        (400, "Header names in this request are case-sensitive", "request"),
        (400, "Your request was rejected as a result of our safety system.", "input"),
        (400, "Output blocked by content filtering policy", "input"),
        (400, "The request failed because the input text may contain sensitive information.", "input"),
        (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", "input"),
        (403, "The user input was flagged", "input"),
        (451, "The content you provided is blocked: censorship_blocked", "input"),
        (500, "input new_sensitive (1026)", "input"),
        (503, "input new_sensitive (1026)", "input"),
        (500, "The server had an error", "service"),
    ],
)  # fmt: skip
def test_words_of_fields_and_accounts_are_no_refused_input(status: int, words: str, about: str) -> None:
    assert of_http(status, words).about == about


def test_an_overload_is_no_failure_under_any_status() -> None:
    assert of_http(529, "Overloaded", type="overloaded_error").about == "load"
    assert of_http(500, "slow down", code="rate_limit_exceeded").about == "load"
    assert of_http(413, "Request too large", code="rate_limit_exceeded").about == "request", "it is always too large"


# -- input that a provider repeats ---------------------------------------------------------------------

TYPED = '{"industry": "飲食", "keywords": ["理由: 山田花子さん 090-1234-5678 から苦情", "Call John Smith\\nback"]}'
INSTRUCTIONS = {"role": "system", "content": "Answer with unsupported JSON Schema"}
ASKED = {"messages": [INSTRUCTIONS, {"role": "user", "content": TYPED}], "max_tokens": 9}
MISSING = {"type": "missing", "loc": ["body", "max_tokens"], "msg": "Field required", "input": ASKED}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"detail": [MISSING]}, ["max_tokens"]),
        ({"detail": [MISSING], "body": ASKED}, ["max_tokens"]),
        ({"error": {"message": [MISSING], "code": 400}}, ["max_tokens"]),
        ({"detail": {"errors": [MISSING]}}, ["max_tokens"]),
        ({"errors": [MISSING]}, ["max_tokens"]),
        ({"title": "wrong", "request": ASKED}, ["max_tokens"]),
        ({"error": {"message": "no", "metadata": {"raw": {"detail": [MISSING]}}}}, ["max_tokens"]),
        ({"error": {"message": f"max_tokens: Field required: {[MISSING]}"}}, ASKED),
        ({"error": {"message": f"max_tokens: Field required, got {json.dumps(ASKED)}"}}, ASKED),
        ({"error": {"message": f"max_tokens: Field required, got {json.dumps(json.dumps(ASKED))}"}}, ASKED),
        ({"error": f"max_tokens is not allowed beside &#39;{TYPED[20:60]}…"}, ASKED),
        ({"error": {"message": "max_tokens: blocked for 「山田花子」 and call  JOHN-SMITH"}}, ASKED),
        (f"max_tokens: cannot read {TYPED}", ASKED),
    ],
)  # fmt: skip
def test_a_refusal_repeats_nothing_that_a_customer_typed(body: Any, sent: Any) -> None:
    words = refusal_of(422, body, "secret-key", sent).words
    assert not any(part in words.lower() for part in ("山田", "花子", "090", "5678", "u5c71", "苦情", "john", "smith"))
    if "title" not in body:
        assert "no" in words or "max_tokens" in words


def test_words_of_the_instructions_stay_in_a_refusal() -> None:
    refusal = refusal_of(400, {"error": {"message": "Unsupported: JSON Schema 'max_tokens'"}}, "k", ASKED)
    assert refusal.words == "Unsupported: JSON Schema 'max_tokens'" and refusal.fields == ("max_tokens",)
    within = refusal_in_stream({"message": f"overloaded while reading {TYPED}"}, "k", ASKED)
    assert within.about == "load" and "山田" not in within.words


def test_an_error_of_a_model_repeats_no_input() -> None:
    body = json.dumps({"schema": 1, "business": {"name": 3, "phone": TYPED}}).encode()
    with pytest.raises(DecodeError) as caught:
        decode_model(GenerationRequest, body)
    assert "山田" not in "".join(traceback.format_exception(caught.value))


# -- lessons -------------------------------------------------------------------------------------------


def learned(dialect: Dialect, words: str, most_tokens: int = 9_000, **rest: Any) -> list[str]:
    sent = dialect.body(USER, most_tokens, None)
    before = len(dialect.learned)
    dialect.learn(sent, before, refusal_of(400, {"error": {"message": words, **rest}}, "k", sent))
    return dialect.learned[before:]


PYDANTIC = {
    "detail": [
        {"loc": ["body", "max_tokens"], "msg": "Input should be less than or equal to 4096", "ctx": {"le": 4096}}
    ]
}


@pytest.mark.parametrize(
    ("words", "largest"),
    [
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]", 8192),
        ("max_tokens is too large: 9000. This model supports at most 4096 completion tokens.", 4096),
        ("max_tokens: 9000 > 8,192, which is the maximum allowed number of output tokens", 8192),
        ("`max_tokens` must be less than or equal to `8192`, the maximum for the `context_window`", 8192),
        ("The parameter max_tokens is not valid: expected a value <= 8000, but got 9000 instead.", 8000),
        ("the supported range of maxOutputTokens is from 1 (inclusive) to 8193 (exclusive)", 8193),
        ("max_completion_tokens must be between 1 and 4096", 4096),
    ],
)  # fmt: skip
def test_a_refused_token_limit_is_lowered_to_the_stated_number(words: str, largest: int) -> None:
    dialect = Dialect(endpoint())
    assert learned(dialect, words, type="invalid_request_error") == [f"at most {largest} tokens"]
    assert dialect.body(USER, 9_000, None)["max_tokens"] == dialect.most_tokens(20_000) == largest
    assert dialect.body(USER, 100, None)["max_tokens"] == 100, "never more than is reserved"


def test_the_words_of_pydantic_lower_the_limit() -> None:
    dialect = Dialect(endpoint())
    sent = dialect.body(USER, 9_000, None)
    assert dialect.learn(sent, 0, refusal_of(422, PYDANTIC, "k", sent))
    assert dialect.most_tokens(9_000) == 4096


def test_the_first_value_that_is_too_large_is_not_sent_twice() -> None:
    dialect = Dialect(endpoint())
    words = "the range of max_tokens is from 1 (inclusive) to 8193 (exclusive)"
    assert learned(dialect, words) + learned(dialect, words) == ["at most 8193 tokens", "at most 8192 tokens"]


def test_room_for_reasoning_stops_at_the_lowered_limit() -> None:
    dialect = Dialect(endpoint(head_room=1_000))
    learned(dialect, "Range of max_tokens should be [1, 3000]")
    assert dialect.give_room(1_500) and dialect.most_tokens(1_500) == 3_000
    assert not dialect.give_room(1_500), "the limit cannot rise further"


@pytest.mark.parametrize(
    "words",
    [
        "could not parse stream from backend", "stream disconnected before completion: invalid upstream",
        "Conversation roles must alternate user/assistant/user/assistant/...", "Invalid role: 'user' must be first",
        "max_tokens must be greater than thinking.budget_tokens", "max_tokens is too large",
        "This model's maximum context length is 2000 tokens. However, you requested 9662 tokens for max_tokens.",
        "Invalid max_tokens: at most 10000", "Failed to generate JSON that fits the json_schema",
    ],
)  # fmt: skip
def test_words_that_refuse_no_field_are_no_lesson(words: str) -> None:
    dialect = Dialect(endpoint(user="u1", n=1))
    assert learned(dialect, words, type="invalid_request_error", code="invalid_request_error") == []


@pytest.mark.parametrize(
    ("words", "lesson"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
         "limit_field=max_completion_tokens"),
        ("Unsupported parameter: 'user'", "omit=user"),
        ("temperature is deprecated for this model", "omit=temperature"),
        ("stream_options is prohibited when stream is false", "omit=stream_options"),
        ("Streaming is not supported for this model", "no streaming"),
        ("This model does not support streaming", "no streaming"),
        ("Unsupported value: 'stream' does not support true with this model.", "no streaming"),
        ("System role not supported", "no system message"),
    ],
)  # fmt: skip
def test_words_that_refuse_a_field_are_a_lesson(words: str, lesson: str) -> None:
    dialect = Dialect(endpoint(user="u1", temperature=0.7))
    assert learned(dialect, words, type="invalid_request_error") == [lesson]
