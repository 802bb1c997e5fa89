"""Small inputs that once took much processor time or caused internal errors."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from page_requests import least

from infra.llm.refusals import MOST_COOL_S, retry_after
from processors.pages.answers import _fit_text
from processors.pages.brief import brief_of
from processors.pages.legal import page_warnings
from processors.pages.lint import findings
from processors.pages.reading import answered, objects
from processors.pages.trades import STRICTEST
from schemas.errors import DecodeError
from schemas.sections import Solution
from streams.edge.routes import PRIVATE, PUBLIC, STUDIO
from streams.edge.studio import auth
from streams.edge.studio.forms import Wrong, read
from streams.edge.studio.maps import _custom
from streams.operate.dead_letters import Letter

TENANT, REQUEST_ID = "demo", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
SPACES = "a" + " " * 998 + "b"
LEAD = Solution.model_fields["lead"].metadata
CHEAP_S = 0.1
WRONG_TIME = "isoformat|month|year"


def prices(text: str) -> tuple[Any, dict[str, Wrong]]:
    form = {"name": "麺屋", "industry": "飲食", "purpose": "集客", "request_id": REQUEST_ID, "prices": text}
    _, request, errors = read(form, TENANT)
    return request and request.facts.prices, errors


def match_all(path: str) -> None:
    for one in (*PUBLIC, *PRIVATE, *STUDIO):
        one.pattern.fullmatch(path)


VOICES = {"testimonials": [{"text": SPACES, "author": "a"}] * 20, "licences": ["a" + " " * 198 + "b"] * 20}
SLOW: dict[str, Callable[[], object]] = {
    "price of 4,900 characters": lambda: prices("a" + ": " * 2_450 + "x"),
    "price of 4,900 spaces": lambda: prices("a" + "　" * 4_900 + "x"),
    "spaces in voices": lambda: page_warnings(least("医療", facts=VOICES), brief_of(least("医療"))),
    "path of dots": lambda: match_all("/heatmaps/" + "." * 8_000 + "!"),
    "digits and spaces from a model": lambda: findings(["1" * 75 + " " * 75], STRICTEST),
    "150 digits, twelve times": lambda: findings(["1" * 150] * 12, STRICTEST),
    "unlawful words, twelve times": lambda: findings(["絶対" * 75] * 12, STRICTEST),
    "innocent words, twelve times": lambda: findings(["必ずしも" * 37] * 12, STRICTEST),
    "brackets that nothing closes": lambda: list(objects('{"' * 9_000, ("hero",))),
    "quotes that nothing closes": lambda: list(objects('{"a": "' + 'あ"い' * 4_000, ("hero",))),
    "an answer of 120 broken objects": lambda: list(objects('{"a": "b" c ' * 60, ("hero",))),
    "objects within objects": lambda: list(objects('{"a":' * 4_000, ("hero",))),
    "reasoning without end": lambda: answered("<think>" * 9_000),
    "20,000 characters for one text": lambda: _fit_text(list(LEAD), "<div>" * 4_000),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_small_input_takes_little_processor_time(name: str) -> None:
    SLOW[name]()  # one-time loading is not measured
    spent = []
    for _ in range(3):  # a collection of garbage may fall into one of them
        started = time.thread_time()
        SLOW[name]()
        spent.append(time.thread_time() - started)
    assert min(spent) < CHEAP_S


@pytest.mark.parametrize("yen", ["9" * 4_900, "9" * 40, "1" + "0" * 13, "1,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,2"])
def test_a_price_out_of_range_is_an_error(yen: str) -> None:
    assert prices(f"ラーメン {yen}")[1] == {"prices": Wrong("error_prices", (1,))}


def test_common_spellings_of_prices_are_accepted() -> None:
    found, errors = prices(f"ラーメン 980円\n会席　￥１２，０００\n{'長' * 200}: 1,000,000,000,000 円")
    assert not errors and [one.yen for one in found] == [980, 12_000, 10**12]


@pytest.mark.parametrize("start", ["0001-01-01", "0001-01-01T00:00", "9999-12-31", "1999-12-31", "2100-01-01", "", "x"])
def test_a_time_out_of_range_raises_value_error(start: str) -> None:
    for zone in (ZoneInfo("Asia/Tokyo"), ZoneInfo("America/Los_Angeles")):
        with pytest.raises(ValueError, match=WRONG_TIME):
            _custom(start, "2026-11-23", zone)
        with pytest.raises(ValueError, match=WRONG_TIME):
            _custom("2026-11-23", start, zone)


def test_a_custom_range_is_read_in_its_time_zone() -> None:
    found = _custom("2026-11-23", "2026-11-24T12:00", ZoneInfo("Asia/Tokyo"))
    assert (found.start, found.end) == (datetime(2026, 11, 22, 15, tzinfo=UTC), datetime(2026, 11, 24, 3, tzinfo=UTC))


def test_accept_language_values_are_not_cached() -> None:
    assert not hasattr(auth._first, "cache_info")


@pytest.mark.parametrize("header", ["inf", "1e999", "nan", "Mon, 01 Jan 0001 00:00:00 -0000", "9" * 4_900])
def test_a_providers_retry_after_is_bounded(header: str) -> None:
    assert 0 < retry_after({"retry-after": header}) <= MOST_COOL_S
    assert 0 < retry_after({"retry-after-ms": header}) <= MOST_COOL_S


@pytest.mark.parametrize("place", ["²", "9" * 5_000, "-1", "x"])
def test_a_dead_letter_with_an_invalid_partition_is_readable(place: str) -> None:
    class Record:
        partition, offset, timestamp, key, value = 0, 1, 2, None, b""
        headers = (("partition", place.encode()),)

    assert Letter.of(Record()).origin_partition is None


@pytest.mark.parametrize("value", [b'{"request_id":"x","n":' + b"[" * 200_000, b'{"yen":' + b"9" * 100_000 + b"}"])
def test_a_request_of_many_brackets_or_digits_is_a_decode_error(value: bytes) -> None:
    from schemas.codec import decode_request
    from streams.generation.requests import identified

    with pytest.raises(DecodeError):
        decode_request(value)
    assert identified(value) is None


def test_a_price_in_the_customers_own_words_is_accepted() -> None:
    found, errors = prices("カット 5,500円〜（税込）\n相談　応相談")
    assert errors == {}
    assert [(one.label, one.text) for one in found] == [
        ("カット", "5,500円〜（税込）"),
        ("相談", "応相談"),
    ]
