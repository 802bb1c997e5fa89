"""Reuse of copy between pages: which donor is allowed, and which texts are taken."""

from typing import Any

import pytest
from page_requests import FACTS, least

from processors.pages.brief import brief_of
from processors.pages.cache_keys import key_of, near_names, pattern_of
from processors.pages.copywriting import assemble
from processors.pages.near import lent
from schemas.copywriting import CopyFields
from schemas.page_cache import CachedCopy
from schemas.plan import Brief


def donor(brief: Brief, **texts: str) -> CachedCopy:
    """Return built-in copy with changed hero texts, as if a model had written it for this brief."""
    fields, copy = brief.fields, assemble(brief, {}).model_dump()
    copy["hero"] |= texts
    return CachedCopy(
        key=key_of(fields, 1, 1), pattern=pattern_of(fields), fields=fields, copy=copy, made_ms=1, model=""
    )


def brief(*keywords: str, **rest: Any) -> Brief:
    return brief_of(least(keywords=list(keywords), **rest))


def fields(*keywords: str) -> CopyFields:
    return brief(*keywords).fields


def test_names_do_not_reveal_another_tenants_keywords() -> None:
    mine, theirs = fields("ラーメン"), fields("ラーメン", "株式会社秘密")
    assert set(near_names(mine, "mine")).isdisjoint(near_names(theirs, "theirs")[:1])
    assert near_names(mine, "mine")[0] in near_names(theirs, "theirs"), (
        "a page with more keywords may reuse copy of fewer"
    )


def test_each_tenant_has_its_own_name_for_its_last_copy() -> None:
    assert near_names(fields("ラーメン"), "a")[-1] != near_names(fields("ラーメン"), "b")[-1]
    assert near_names(fields("ラーメン"), "a")[-1] == near_names(fields("個室"), "a")[-1]


def test_names_cover_every_subset_of_keywords_largest_first() -> None:
    names = near_names(fields("a", "b"), "t")
    assert names[:4] == [near_names(fields(*words), "t")[0] for words in (("a", "b"), ("a",), ("b",), ())]
    assert len(names) == len(set(names)) == 5
    assert len(near_names(fields("a", "b", "c", "d", "e"), "t")) == 33


def test_names_of_many_keywords_are_bounded() -> None:
    words = [f"語{number:02}" for number in range(20)]
    names = near_names(fields(*words), "t")
    assert len(names) == len(set(names)) < 500
    fewer = [near_names(fields(*some), "t")[0] for some in (words, words[1:], words[3:5], words[7:8], [])]
    assert [name for name in fewer if name not in names] == []
    assert len(near_names(fields(*words[:9]), "t")) == 2**9 + 1


def test_copy_is_lent_whichever_way_of_contact_is_given() -> None:
    phone, form, site, none = (
        brief("ラーメン", business={"name": "麺屋", **contact})
        for contact in (
            {"phone": "03-1234-5678"},
            {"form_url": "https://a.example/f"},
            {"url": "https://a.example"},
            {},
        )
    )
    assert lent(phone, donor(form)) is not None and lent(form, donor(phone)) is not None
    assert lent(phone, donor(site)) is not None and lent(site, donor(none)) is not None
    assert lent(site, donor(phone)) is None and lent(none, donor(site)) is None
    named = {"catch": "お電話をお待ちしています"}
    assert lent(form, donor(phone, **named)).hero == assemble(form, {}).hero, "an older release's copy names the way"  # type: ignore[union-attr]


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
def test_texts_with_foreign_facts_are_not_reused(texts: dict[str, str]) -> None:
    mine, theirs = brief("ラーメン"), brief("創業50年", "満足度98%", "深夜営業", "0120-000-000")
    copy = lent(mine, donor(theirs, **texts))
    assert copy is not None and copy.hero == assemble(mine, {}).hero


def test_texts_with_shared_keywords_are_reused() -> None:
    copy = lent(brief("創業50年", "深夜営業"), donor(brief("創業50年"), catch="創業50年の味を届けます"))
    assert copy is not None and copy.hero.catch == "創業50年の味を届けます"


def test_copy_about_facts_is_reused_only_with_these_facts() -> None:
    priced = brief("ラーメン", facts={"prices": FACTS["prices"]})
    assert lent(brief("ラーメン"), donor(priced)) is None
    assert lent(priced, donor(brief("ラーメン"))) is not None


def test_old_copy_without_its_fields_is_not_reused() -> None:
    mine = brief("ラーメン")
    assert lent(mine, donor(mine).model_copy(update={"fields": None})) is None


def test_copy_is_not_reused_if_every_group_has_foreign_facts() -> None:
    theirs = brief("お", "す", "に", "ま", "い")
    assert lent(brief("ラーメン"), donor(theirs)) is None
