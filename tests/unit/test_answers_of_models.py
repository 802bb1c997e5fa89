"""Bytes, texts, token counts and refusals of model providers, in the forms that real services send."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_requests import least

from infra.llm.dialect import Dialect
from infra.llm.endpoint import Endpoint
from infra.llm.events import Answer
from infra.llm.refusals import MOST_COOL_S, MOST_WORDS, refusal_of, retry_after
from infra.llm.stream import _outcome
from infra.llm.usage import Usage, usage_of
from processors.pages.answers import parse
from processors.pages.brief import brief_of
from processors.pages.copywriting import strict_schema, template_part
from schemas.errors import DecodeError, LpstreamError
from schemas.sections import GROUPS
from streams.proof.provider.profile_table import PAGE, page
from streams.proof.provider.script import COPY_3_S
from streams.proof.provider.texts import EDITS
from streams.proof.verify.place import script_of

BRIEF = brief_of(least())
ENDPOINT = Endpoint("one", "http://127.0.0.1/v1", "secret-key", "m", 1, 1)
DRAFT = {"catch": "下書きの見出しです", "lead": "下書きの説明文です。まだ直していません。", "call": "下書き"}


def chunk(text: str | None = None, finish: str | None = None, **rest: Any) -> str:
    delta = {} if text is None else {"content": text}
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **rest}, ensure_ascii=False)


def read(*pieces: bytes) -> Answer:
    answer = Answer()
    for piece in pieces:
        answer.feed(piece)
    answer.end()
    return answer


STREAM = f"data: {chunk('あ')}\n\ndata: {chunk('い')}\n\ndata: {chunk(finish='stop')}\n\ndata: [DONE]\n\n".encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_a_stream_is_read_in_any_pieces_and_ends_of_lines(end: str, size: int) -> None:
    data = b"\xef\xbb\xbf: ok\n\n".replace(b"\n", end.encode()) + STREAM.replace(b"\n", end.encode())
    answer = read(*(data[at : at + size] for at in range(0, len(data), size)))
    assert (answer.text, answer.finish, answer.done, answer.pieces) == ("あい", "stop", True, 2)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n", b"{}", b"[", b'{"choices":[', b"null"])))
def test_any_bytes_are_skipped_without_an_error(pieces: list[bytes]) -> None:
    assert read(*pieces).text == ""


@pytest.mark.parametrize(
    "odd",
    [
        "data:", "data: null", "data: 7", 'data: "x"', "data: {", "data: []", "data: {}", 'data: {"choices":null}',
        'data: {"choices":[]}', 'data: {"choices":[{"index":0,"delta":null}]}', 'data: {"choices":[{}]}',
        'data: {"choices":[{"index":1,"delta":{"content":"other"}}]}', 'data: {"choices":[{"delta":{"content":7}}]}',
        'data: {"choices":[{"delta":{"content":null,"role":""}}],"usage":"x","error":null}', ": beat", "event: ping",
        'data: {"choices":{"a":1}}', 'data: {"choices":[{"index":0,"finish_reason":7,"delta":{}}]}',
    ],
)  # fmt: skip
def test_an_odd_line_within_an_answer_is_skipped(odd: str) -> None:
    first, second, rest = STREAM.split(b"\n\n", 2)
    answer = read(first + b"\n\n" + odd.encode() + b"\n\n" + second + b"\n\n" + rest)
    assert (answer.text, answer.finish, answer.error) == ("あい", "stop", None)


@pytest.mark.parametrize(
    "lost",
    [
        'data: {"choices":[{"index":0,"delta":{"content":"うえ'.encode(),
        b'data: {"id":"a","object":"chat.completion.chunk","ch',
        b'data: {"choices":[{"index":0,"delta":{"content":"\xe3\x81"}}]}',
    ],
)  # fmt: skip
def test_an_answer_with_a_lost_part_is_damaged(lost: bytes) -> None:
    first, second, rest = STREAM.split(b"\n\n", 2)
    assert read(first + b"\n\n" + lost + b"\n\n" + second + b"\n\n" + rest).damaged
    assert not read(STREAM).damaged


def test_a_stream_of_lines_that_cannot_be_read_costs_little() -> None:
    started = time.thread_time()
    answer = read(*[b'data: {"a":[1,\n' * 4_000] * 60)
    assert answer.damaged and time.thread_time() - started < 5


@pytest.mark.parametrize("depth", [50, 300, 700, 990, 100_000])
def test_deep_nesting_is_no_error(depth: int) -> None:
    for nested in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        read_everywhere(nested)
        with pytest.raises(DecodeError):
            parse(BRIEF.fields, GROUPS[0], nested)


def read_everywhere(nested: str) -> None:
    for place in (f'{{"choices":[{{"delta":{{"content":{nested}}}}}]}}', f'{{"usage":{nested}}}', nested):
        read(f"data: {place}\n\n".encode(), STREAM)
        read(place.encode())


def test_documents_in_one_line_and_halves_of_a_character_are_read() -> None:
    lines = [f"data: {chunk('あ')}data: {chunk('い')}", f"data: {chunk('う')}{chunk('え')}", "data: [DONE]"]
    assert read("\n\n".join(lines).encode()).text == "あいうえ"
    halves = [
        'data: {"choices":[{"delta":{"content":"寿\\ud83c"}}]}',
        'data: {"choices":[{"delta":{"content":"\\udf63司"}}]}',
    ]
    assert read("\n\n".join(halves).encode()).text == "寿🍣司"
    assert read(halves[0].encode()).text == "寿"


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "function": {"name": "json", "arguments": "全文"}}]},
        {"function_call": {"name": "json", "arguments": "全文"}},
        {"content": [{"type": "text", "text": {"value": "全文"}}]},
        "全文",
    ],
)  # fmt: skip
def test_the_text_is_read_from_other_places(delta: Any) -> None:
    lines = [json.dumps({"choices": [{"index": "0", "delta": delta}]}), chunk(finish="tool_calls")]
    answer = read("".join(f"data: {line}\n\n" for line in lines).encode())
    assert (answer.text, answer.finish, answer.spoken) == ("全文", "tool_calls", 1)


def test_the_arguments_of_a_call_do_not_replace_the_text() -> None:
    call = {"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": "{}"}}], "content": "本文"}
    assert read(f"data: {json.dumps({'choices': [{'delta': call}]})}\n\n".encode()).text == "本文"


def test_an_error_counts_only_before_the_end_and_with_words() -> None:
    error = b'data: {"error":{"message":"down","code":500}}\n\n'
    assert read(STREAM + error).error is None
    assert read(error + STREAM).error
    assert read(b'data: {"error":{"code":0,"message":""}}\n\n' + STREAM).error is None


def test_a_text_that_is_complete_at_the_token_limit_is_complete() -> None:
    for text, complete in (
        ('{"a": 1}\n\n\n', True),
        ('```json\n{"a": 1}\n```', True),
        ('{"a": {"b": 1}', False),
        ("{}{", False),
    ):
        assert read(f"data: {chunk(text)}\n\ndata: {chunk(finish='length')}\n\n".encode()).complete == complete


@pytest.mark.parametrize("text", ["", '{"catch": "半分', '{"catch": "全文"}'])
@pytest.mark.parametrize(
    ("finish", "outcome"),
    [
        ("content_filter: PROHIBITED_CONTENT", "finish_content_filter"), ("MODEL_ARMOR", "finish_content_filter"),
        ("content_filter: SAFETY", "finish_content_filter"), ("content_filter:OTHER", "finish_content_filter"),
        ("LANGUAGE", "finish_content_filter"), ("IMAGE_PROHIBITED_CONTENT", "finish_content_filter"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", "finish_call_filter"),
        ("UNEXPECTED_TOOL_CALL", "finish_call_filter"),
    ],
)  # fmt: skip
def test_an_ending_of_a_filter_is_known_in_any_form(finish: str, outcome: str, text: str) -> None:
    answer = read(f"data: {chunk(text)}\n\ndata: {chunk(finish=finish)}\n\n".encode())
    usable = outcome == "finish_call_filter" and answer.complete
    assert _outcome(answer) == ("ok" if usable else outcome)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_have_loses_no_chunk(number: str) -> None:
    last = f'{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"timings":{{"x":{number}}}}}'
    answer = read(f"data: {chunk('あ')}\n\ndata: {last}\n\n".encode())
    assert (answer.text, answer.finish, answer.damaged) == ("あ", "stop", False)
    document = f'{{\n"choices":[{{"message":{{"content":"全文"}}}}],\n"x":{number}}}'
    assert read(document.encode()).text == "全文"


@pytest.mark.parametrize("name", ["content", "reasoning_content", "arguments"])
def test_text_that_is_repeated_counts_once(name: str) -> None:
    whole, answer = '{"a": "' + "あ" * 1_000 + '"}', Answer()
    for at in range(1, len(whole) + 1):
        delta = {name: whole[:at]}
        if name == "arguments":
            delta = {"tool_calls": [{"index": 0, "function": delta}]}
        answer.feed(f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode())
    assert answer.characters == len(whole) and answer.text == ("" if name == "reasoning_content" else whole)
    answer.feed(f"data: {chunk('い')}\n\n".encode())
    if name == "content":
        assert answer.characters > 500_000, "the parts were no repetition"


def test_equal_parts_count_each() -> None:
    assert read("".join(f"data: {chunk('ああ')}\n\n" for _ in range(50)).encode()).characters == 100


def test_an_event_over_several_lines_of_data_is_joined() -> None:
    pretty = json.dumps(json.loads(chunk("あ")), indent=1, ensure_ascii=False)
    lines = "\n".join(f"data: {line}" for line in pretty.split("\n"))
    assert read(f"{lines}\n\n{STREAM.decode()}".encode()).text == "ああい"


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_instead_of_a_stream_is_read(indent: int | None) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "全文"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    answer = read(json.dumps({"choices": [choice], "usage": usage}, indent=indent).encode())
    assert (answer.text, answer.usage) == ("全文", Usage(5, 7))


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, Usage(5, 2)),
        ({"prompt_tokens": "5", "completion_tokens": 2.0}, Usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 17}, Usage(5, 12)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 9}},
         Usage(5, 11, reasoning=9)),
        ({"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14, "completion_tokens_details":
          {"reasoning_tokens": 4}}, Usage(5, 9, reasoning=4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}},
         Usage(5, 2, cached=3)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 99}, Usage(104, 2, cached=99)),
        ({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 1010, "prompt_cache_hit_tokens": 900},
         Usage(1000, 10, cached=900)),
        ({"prompt_tokens": 50, "completion_tokens": 100, "total_tokens": 150, "completion_tokens_details":
          {"reasoning_tokens": 300}}, Usage(50, 400, reasoning=300)),
        ({"prompt_tokens": 50, "completion_tokens": 100, "total_tokens": 500, "completion_tokens_details":
          {"reasoning_tokens": 300}}, Usage(50, 450, reasoning=300)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.5}, Usage(5, 2, usd=0.5)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cost": {"total_cost": "0.25"}}, Usage(5, 2, usd=0.25)),
        *(({"prompt_tokens": 5, "completion_tokens": 2, "cost": odd}, Usage(5, 2))
          for odd in (-1, float("nan"), float("inf"), 10**400, 1e9, True, None, [], {}, "free")),
        ({"prompt_tokens": -5, "completion_tokens": 2}, None),
        ({"prompt_tokens": 5, "completion_tokens": -2, "total_tokens": 3}, None),
        ({"prompt_tokens": 5}, None), ({"prompt_tokens": True, "completion_tokens": 2}, None),
        ({"prompt_tokens": float("inf"), "completion_tokens": 2}, None),
        ({"prompt_tokens": 5, "completion_tokens": "many"}, None), ({}, None), (None, None), ("text", None),
        (3.5, None),
    ],
)  # fmt: skip
def test_token_counts_are_read_or_left_out(raw: Any, usage: Usage | None) -> None:
    assert usage_of(raw) == usage


def test_a_running_count_is_no_bill() -> None:
    counts = {"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51}
    running = f"data: {chunk('あ', usage=counts)}\n\ndata: {chunk('い')}\n\ndata: {chunk(finish='stop')}\n\n"
    assert read(running.encode()).usage is None
    final = {"prompt_tokens": 50, "completion_tokens": 2, "total_tokens": 52}
    whole = f"{running}data: {json.dumps({'choices': [], 'usage': final})}\n\n"
    assert read(whole.encode()).usage == Usage(50, 2)
    assert not Usage(50, 1).plausible(asked=90, answered=6, pieces=2), "fewer tokens than parts"
    assert not Usage(3, 50).plausible(asked=900, answered=6, pieces=2), "fewer tokens than the prompt can have"


def test_cached_and_reasoning_tokens_have_their_own_prices() -> None:
    endpoint = Endpoint("one", "http://a", "k", "m", 1_000_000, 2_000_000, micro_jpy_cached=100_000)
    assert endpoint.cost(Usage(100, 10, cached=50, reasoning=5)) == 50 + 5 + 20
    paid = replace(endpoint, micro_jpy_usd=155_000_000)
    assert paid.cost(Usage(100, 9, usd=0.5)) == 77_500_000, "the reported cost is larger"
    assert paid.cost(Usage(100, 10, cached=50, reasoning=5, usd=0.000_000_1)) == 50 + 5 + 20
    dear = Endpoint("one", "http://a", "k", "m", 1, 2_000_000, micro_jpy_reasoning=3_000_000)
    assert dear.cost(Usage(0, 10, reasoning=4)) == 6 * 2 + 4 * 3
    assert dear.most([], 10) == 30, "a reservation takes the dearest price"


@pytest.mark.parametrize("header", ["0", "-5", "nan", "x", "", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_useless_time_to_wait_becomes_a_second(header: str) -> None:
    assert retry_after({"retry-after": header}) == 1.0
    assert retry_after({"retry-after": "86400"}) == retry_after({"retry-after": "inf"}) == MOST_COOL_S


def test_a_providers_words_are_cut_and_cleaned() -> None:
    words = "bad\r\n\x1b[31m <script>x</script> secret-key sk-proj-abcdefgh " + "長" * 900
    cleaned = refusal_of(400, {"error": {"message": words, "code": "c"}}, "secret-key").words
    assert len(cleaned) <= MOST_WORDS and cleaned.isprintable()
    assert not any(part in cleaned for part in ("<script>", "secret-key", "sk-proj"))


BODIES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "detail"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(BODIES)
def test_any_body_of_an_error_is_a_refusal(body: Any) -> None:
    assert refusal_of(400, body, "k").about in ("input", "request", "account")


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("Content Exists Risk", "input"), ("Your input was flagged by moderation", "input"),
        ("API key not valid", "account"), ("Your credit balance is too low", "account"),
        ("The model `x` does not exist", "account"), ("maximum context length is 4096 tokens", "request"),
    ],
)  # fmt: skip
def test_a_refusal_is_about_input_account_or_request(words: str, about: str) -> None:
    assert refusal_of(400, {"error": {"message": words}}, "k").about == about


def test_a_dialect_learns_only_from_refusals_of_fields() -> None:
    dialect = Dialect(ENDPOINT)
    body = dialect.body([{"role": "user", "content": "x"}], 10, None)
    for status, words in ((400, "Invalid max_completion_tokens: too large"), (500, "stream_options not supported")):
        assert not dialect.learn(body, 0, refusal_of(status, {"error": {"message": words}}, "k"))
    refusal = refusal_of(400, {"error": {"message": "Unsupported parameter: 'max_completion_tokens'"}}, "k")
    assert dialect.learn(body, 0, refusal) and "max_tokens" in dialect.body([], 10, None)
    assert dialect.learn(body, 0, refusal) and dialect.learned == ["limit_field=max_tokens"], "another call had learned"


@pytest.mark.parametrize("edit", [name for name in EDITS if name not in ("half", "other")])
@pytest.mark.parametrize("group", GROUPS)
def test_an_answer_in_any_form_is_read(edit: str, group: str) -> None:
    part = template_part(BRIEF, group)
    found = parse(BRIEF.fields, group, EDITS[edit](json.dumps(part, ensure_ascii=False)))
    squeezed = json.dumps(found, ensure_ascii=False).replace(" ", "")
    assert squeezed == json.dumps(part, ensure_ascii=False).replace(" ", "")


FINAL = json.dumps(template_part(BRIEF, "hero"), ensure_ascii=False)
DRAFTED = json.dumps({**template_part(BRIEF, "hero"), "hero": DRAFT}, ensure_ascii=False)


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{DRAFTED}</think>{FINAL}", f"<think>{{ {DRAFTED}</think>\n{FINAL}", f"{DRAFTED}</think>{FINAL}",
        f"<think>a</think>{DRAFTED}<think>b {DRAFTED}</think>{FINAL}", f"[THINK]{DRAFTED}[/THINK]{FINAL}",
        f"<thinking>{DRAFTED}</thinking>{FINAL}", f"{DRAFTED}\n{FINAL}", f"下書き: {DRAFTED} 完成: {FINAL} 以上",
        f"<THINK>{DRAFTED}</THINK>{FINAL}", f"{FINAL}<think>これでよい。</think>",
        f"{FINAL}<think>{DRAFTED}</think>", f"<reasoning>{DRAFTED}</reasoning>\n```json\n{FINAL}\n```",
    ],
)  # fmt: skip
def test_a_draft_is_never_taken_for_the_answer(text: str) -> None:
    assert "下書き" not in json.dumps(parse(BRIEF.fields, "hero", text), ensure_ascii=False)


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{DRAFTED}", FINAL[: len(FINAL) // 2], FINAL[:-6], f"<think>{DRAFTED}</think>", "{" * 50, '{"hero": {',
        FINAL.replace('",', "", 1), FINAL.replace('", "', '"', 1),
    ],
)  # fmt: skip
def test_missing_words_are_never_guessed(text: str) -> None:
    with pytest.raises(DecodeError):
        parse(BRIEF.fields, "hero", text)


def test_one_list_never_fills_two_sections() -> None:
    items = template_part(BRIEF, "story")["problems"]
    with pytest.raises(DecodeError):
        parse(BRIEF.fields, "story", json.dumps(items, ensure_ascii=False))


@pytest.mark.parametrize("group", GROUPS)
def test_the_strict_schema_has_no_lengths(group: str) -> None:
    text = json.dumps(strict_schema(group))
    assert not any(word in text for word in ("minLength", "maxLength", "minItems", "maxItems"))
    assert text.count('"additionalProperties": false') == text.count('"type": "object"') == text.count('"required"')


def test_the_table_of_profiles_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert page(text) == text, "run `.venv/bin/python -m streams.proof.provider.profile_table`"


def test_verify_takes_a_profile_by_its_name() -> None:
    assert script_of("think_draft").profiles == {"think_draft": 1.0}
    assert script_of("simulator") == script_of("settings") == COPY_3_S
    with pytest.raises(LpstreamError, match="--provider other: unknown"):
        script_of("other")
