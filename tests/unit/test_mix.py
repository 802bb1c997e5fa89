"""The mix of requests: shares, draws that follow them, and the order of patterns."""

import random
from collections import Counter
from pathlib import Path

import pytest

from processors.pages.brief import copy_fields
from processors.pages.cache_keys import key_of, pattern_of
from schemas.errors import SettingError
from schemas.generation import GenerationRequest
from streams.generation.mix import Mix


def test_draws_follow_the_shares_of_patterns() -> None:
    mix = Mix.load()
    patterns = mix.patterns()
    drawn = Counter(mix.draw(random.Random(seed)).industry for seed in range(3_000))
    by_industry: Counter[str] = Counter()
    for pattern in mix._all():
        by_industry[pattern.industry] += pattern.share  # type: ignore[assignment]
    assert sum(by_industry.values()) == pytest.approx(0.9, abs=1e-6), "the other 10 % cannot be warmed"
    for industry, share in by_industry.items():
        assert drawn[industry] / 3_000 == pytest.approx(share / 0.9, abs=0.03)
    shares = [pattern.share for pattern in patterns[3:]]
    assert shares == sorted(shares, reverse=True) and len(patterns) > 5_000


def test_a_drawn_pattern_is_known_or_has_a_unique_keyword() -> None:
    mix = Mix.load()
    known = {(one.industry, one.purpose, one.keywords, one.tone, one.quality, one.given) for one in mix.patterns()}
    rng = random.Random(1)
    unknown = 0
    for _ in range(1_000):
        one = mix.draw(rng)
        if (one.industry, one.purpose, one.keywords, one.tone, one.quality, one.given) not in known:
            assert one.keywords[0].startswith("商品")
            unknown += 1
    assert 60 < unknown < 140


def test_the_patterns_of_the_specification_come_first() -> None:
    first = Mix.load().patterns()[:3]
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


def test_the_cache_key_depends_on_fields_not_on_the_customer() -> None:
    pattern = Mix.load().patterns()[0]
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


@pytest.mark.parametrize(
    ("text", "key"),
    [
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
