"""Copy of one page for another: from which donor, and what of it."""

from typing import Any

import pytest
from requests_for_pages import FACTS, least

from processors.pages.cache_keys import key_of, near_names, pattern_of
from processors.pages.copywriting import assemble, copy_fields
from processors.pages.near import lent
from schemas.copywriting import CopyFields
from schemas.page_cache import CachedCopy


def donor(fields: CopyFields, **texts: str) -> CachedCopy:
    """Built-in copy with some texts of the hero changed, as if a model had written it for these fields."""
    copy = assemble(fields, {}).model_dump()
    copy["hero"] |= texts
    return CachedCopy(
        key=key_of(fields, 1, 1), pattern=pattern_of(fields), fields=fields, copy=copy, made_ms=1, model=""
    )


def fields(*keywords: str, **rest: Any) -> CopyFields:
    return copy_fields(least(keywords=list(keywords), **rest))


def test_a_keyword_of_another_tenant_reaches_nobody_by_name() -> None:
    mine, theirs = fields("ラーメン"), fields("ラーメン", "株式会社秘密")
    assert set(near_names(mine, "mine")).isdisjoint(near_names(theirs, "theirs")[:1])
    assert near_names(mine, "mine")[0] in near_names(theirs, "theirs"), "whoever has more words may take from fewer"


def test_each_tenant_has_a_name_of_its_own_for_its_last_copy() -> None:
    assert near_names(fields("ラーメン"), "a")[-1] != near_names(fields("ラーメン"), "b")[-1]
    assert near_names(fields("ラーメン"), "a")[-1] == near_names(fields("個室"), "a")[-1]


def test_names_are_of_every_subset_the_largest_first() -> None:
    names = near_names(fields("a", "b"), "t")
    assert names[:4] == [near_names(fields(*words), "t")[0] for words in (("a", "b"), ("a",), ("b",), ())]
    assert len(names) == len(set(names)) == 5
    assert len(near_names(fields("a", "b", "c", "d", "e"), "t")) == 33


@pytest.mark.parametrize(
    "texts",
    [
        {"catch": "創業50年の味を届けます"},
        {"catch": "満足度98%の一杯をあなたに"},
        {"lead": "<strong>深</strong>夜営業の店で、あたたかい一杯をゆっくりとどうぞ。"},
        {"lead": "ご予約は https://evil.example からどうぞ。お待ちしております。"},
        {"call": "0120-000-000"},
    ],
)
def test_what_the_asker_did_not_say_is_not_lent(texts: dict[str, str]) -> None:
    mine, theirs = fields("ラーメン"), fields("創業50年", "満足度98%", "深夜営業", "0120-000-000")
    copy = lent(mine, donor(theirs, **texts))
    assert copy is not None and copy.hero == assemble(mine, {}).hero


def test_what_the_asker_says_too_is_lent() -> None:
    copy = lent(fields("創業50年", "深夜営業"), donor(fields("創業50年"), catch="創業50年の味を届けます"))
    assert copy is not None and copy.hero.catch == "創業50年の味を届けます"


def test_copy_that_points_to_facts_is_lent_to_pages_with_these_facts_alone() -> None:
    priced = fields("ラーメン", facts={"prices": FACTS["prices"]})
    assert lent(fields("ラーメン"), donor(priced)) is None
    assert lent(priced, donor(fields("ラーメン"))) is not None


def test_copy_of_before_that_does_not_say_what_it_was_made_of_is_not_lent() -> None:
    mine = fields("ラーメン")
    assert lent(mine, donor(mine).model_copy(update={"fields": None})) is None


def test_nothing_is_lent_where_every_group_states_what_was_not_given() -> None:
    theirs = fields("お", "す", "に", "ま", "い")
    assert lent(fields("ラーメン"), donor(theirs)) is None
