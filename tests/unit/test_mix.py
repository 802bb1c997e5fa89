"""The mix of requests: shares, draws that follow them, and the order of patterns."""

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from infra.prices import load_prices
from processors.pages.brief import copy_fields
from processors.pages.cache_keys import key_of, pattern_of
from processors.pages.facts import given_of
from schemas.errors import SettingError
from schemas.generation import GenerationRequest
from streams.generation.mix import Contact, Mix, Pattern, _identity

FIRST = Pattern("飲食", "集客", (), "friendly", "fast", ())
MIX = """\
keywords = [0.5, 0.5]
[[contacts]]
share = 0.6
given = ["phone"]
[[contacts]]
share = 0.3
given = ["form", "address"]
[[contacts]]
share = 0.1
[[industry]]
name = "飲食"
purposes = ["集客"]
keywords = ["ラーメン"]
"""


@pytest.fixture(scope="module")
def mix() -> Mix:
    return Mix.load()


@pytest.fixture(scope="module")
def patterns(mix: Mix) -> list[Pattern]:
    return mix.patterns()


def test_draws_follow_the_shares_of_patterns(mix: Mix, patterns: list[Pattern]) -> None:
    drawn = Counter(mix.draw(random.Random(seed)).industry for seed in range(3_000))
    by_industry: Counter[str] = Counter()
    for pattern in mix._all():
        by_industry[pattern.industry] += pattern.share  # type: ignore[assignment]
    assert sum(by_industry.values()) == pytest.approx(0.9, abs=1e-6), "the other 10 % cannot be warmed"
    for industry, share in by_industry.items():
        assert drawn[industry] / 3_000 == pytest.approx(share / 0.9, abs=0.03)
    shares = [pattern.share for pattern in patterns[3:]]
    assert shares == sorted(shares, reverse=True) and len(patterns) > 5_000


def test_a_drawn_pattern_is_known_or_has_a_unique_keyword(mix: Mix, patterns: list[Pattern]) -> None:
    known = {(one.industry, one.purpose, one.keywords, one.tone, one.quality, one.given) for one in patterns}
    rng = random.Random(1)
    unknown = 0
    for _ in range(1_000):
        one = mix.draw(rng)
        if (one.industry, one.purpose, one.keywords, one.tone, one.quality, one.given) not in known:
            assert one.keywords[0].startswith("商品")
            unknown += 1
    assert 60 < unknown < 140


def test_the_documented_share_of_requests_hits_warmed_copy(mix: Mix, patterns: list[Pattern]) -> None:
    warmed, rng = {_identity(one) for one in patterns[:800]}, random.Random(1)
    hits = sum(_identity(mix.draw(rng)) in warmed for _ in range(5_000)) / 5_000
    assert hits == pytest.approx(load_prices().content.measured["hit_rate"].value, abs=0.01)


def test_the_patterns_of_the_specification_come_first(patterns: list[Pattern]) -> None:
    first = patterns[:3]
    assert [(one.industry, one.purpose) for one in first] == [
        ("飲食", "集客"),
        ("美容", "予約"),
        ("不動産", "問い合わせ"),
    ]


def test_requests_are_valid_and_ids_depend_on_number_and_seed() -> None:
    mix, rng = Mix.load(), random.Random(2)
    ids = set()
    for number in range(200):
        request = GenerationRequest.model_validate(mix.draw(rng).request(number, seed=5))
        ids.add(request.request_id)
    assert len(ids) == 200
    again = Mix.load().draw(random.Random(2)).request(0, seed=5)
    assert again["request_id"] in {str(one) for one in ids}


def test_the_cache_key_depends_on_fields_not_on_the_customer(patterns: list[Pattern]) -> None:
    pattern = patterns[0]
    one = GenerationRequest.model_validate(pattern.request(1))
    other = GenerationRequest.model_validate(pattern.request(2) | {"keywords": []})
    assert one.business.name != other.business.name
    assert key_of(copy_fields(one), 1, 1) == key_of(copy_fields(other), 1, 1)
    for change in (
        {"keywords": ["ラーメン"]},
        {"tone": "premium"},
        {"quality": "high"},
        {"industry": "美容"},
        {"purpose": "採用"},
        {"facts": {"hours": "10時から"}},
    ):
        changed = copy_fields(GenerationRequest.model_validate(pattern.request(1) | change))
        assert key_of(changed, 1, 1) != key_of(copy_fields(one), 1, 1)
    fields = copy_fields(one)
    assert key_of(fields, 2, 1) != key_of(fields, 1, 1) != key_of(fields, 1, 2)
    spelt = copy_fields(GenerationRequest.model_validate(pattern.request(1) | {"keywords": ["ﾗｰﾒﾝ", "b", "A"]}))
    same = copy_fields(GenerationRequest.model_validate(pattern.request(1) | {"keywords": ["a", "ラーメン", "B", "b"]}))
    assert key_of(spelt, 1, 1) == key_of(same, 1, 1) and pattern_of(spelt) == pattern_of(fields)


def key(pattern: Pattern) -> str:
    return key_of(copy_fields(GenerationRequest.model_validate(pattern.request(0))), 1, 1)


CONTACTS: tuple[Contact, ...] = ("phone", "form", "line", "url", "address")
SETS = [names for size in range(6) for names in combinations(CONTACTS, size) if not {"form", "line", "url"} <= {*names}]


@pytest.mark.parametrize("given", SETS)
def test_a_pattern_gives_exactly_its_contacts(given: tuple[Contact, ...]) -> None:
    request = GenerationRequest.model_validate(replace(FIRST, contacts=given).request(1))
    assert set(given_of(request)) == set(given)


def test_copy_warmed_for_one_contact_serves_all_others_that_it_suits() -> None:
    reached, sites, none = (key(replace(FIRST, contacts=given)) for given in (("phone",), ("url",), ()))
    for given in SETS:
        expected = reached if {"phone", "form", "line"} & {*given} else sites if "url" in given else none
        assert key(replace(FIRST, contacts=given)) == expected, given
    assert len({reached, sites, none}) == 3


def test_patterns_are_warmed_once_for_all_sets_of_contacts(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(MIX, encoding="utf-8")
    mix = Mix.load(tmp_path / "mix.toml")
    patterns = mix.patterns()
    assert len({key(one) for one in patterns}) == len(patterns) == 2 * 2, "with and without a keyword and a contact"
    shares = {one.contacts: one.share for one in patterns if one.keywords}
    assert shares == {("phone",): pytest.approx(0.45), (): pytest.approx(0.05)}
    assert {key(mix.draw(random.Random(seed))) for seed in range(40)} == {key(one) for one in patterns}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[[pattern]]\nindustry='a'\npurpose='b'\ngiven=['address']", "pattern.0.given"),
        ("[[pattern]]\nindustry='a'\npurpose='b'\ngiven=['hour']", "pattern.0.given"),
        ("[[pattern]]\nindustry='a'\npurpose='b'\ncontacts=['hours']", "pattern.0.contacts"),
        ("[[contacts]]\nshare=1\ngiven=['fax']", "contacts.0.given"),
        ("[[contacts]]\nshare=1\ngiven=['form', 'line', 'url']", "contacts.0.given"),
        ("[[contacts]]\nshare=0.5", "contacts"),
        ("zipf = 'x'", "zipf"),
        ("[tones]\nfriendly = 0.5", "tones"),
        ("keywords = [0.9, 0.9]", "keywords"),
        ("industri = []", "industri"),
        ("zipf =", "value"),
    ],
)
def test_an_invalid_mix_file_is_refused_with_its_key(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "mix.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=key):
        Mix.load(path)
