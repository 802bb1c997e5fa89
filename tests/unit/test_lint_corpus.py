"""The lint on over six thousand phrases: how many are rightly refused, how many harmless are touched."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_requests import least

from processors.pages.answers import refused
from processors.pages.brief import brief_of, copy_fields
from processors.pages.copywriting import template_part
from processors.pages.lint import Finding, forbidden
from schemas.copywriting import CopyFields

FOLDER = Path(__file__).parents[1] / "phrases"
INDUSTRIES = {
    "medical": "内科クリニック", "therapy": "整体院", "cosmetic": "エステサロン", "food": "健康食品",
    "realestate": "不動産", "restaurant": "飲食", "profession": "弁護士", "school": "学習塾", "finance": "資産運用",
    "care": "介護", "pet": "ペットサロン", "generic": "造園", "work": "造園", "unknown": "ふしぎ屋さん",
    "dental": "歯科医院", "aesthetic": "美容外科", "eye": "眼科", "acupuncture": "鍼灸院", "bonesetter": "接骨院",
    "supplement": "サプリメント通販", "shop": "通販ショップ", "hair": "美容室", "nail": "ネイルサロン", "hotel": "旅館",
    "reform": "リフォーム", "cleaning": "ハウスクリーニング", "moving": "引越し", "photo": "写真館",
    "gym": "パーソナルジム", "bakery": "ベーカリー", "it": "システム開発", "pharmacy": "調剤薬局", "nursery": "保育園",
    "taxi": "タクシー", "brewery": "酒蔵", "florist": "花屋", "carrepair": "自動車整備",
    "printing": "印刷", "psych": "心療内科",
    "saas": "クラウドサービス", "builder": "工務店",
    "marriage": "結婚相談所", "usedcar": "中古車販売", "funeral": "葬儀社",
    "insurance": "保険代理店", "yoga": "ヨガスタジオ", "vet": "動物病院", "skin": "皮膚科", "wedding": "結婚式場",
    "tax": "税理士事務所", "cafe": "カフェ", "solar": "太陽光発電", "buyback": "ブランド買取",
    "laundry": "クリーニング店", "farm": "農園",
}  # fmt: skip
# least share of refused phrases, largest share of harmless phrases that are touched
MENDED = ("developed", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
# the lists whose phrases are judged as a whole answer is, with language and promises, on a page with contacts
WHOLE = {
    "eleventh": (1.0, 0.0), "twelfth": (0.98, 0.0), "thirteenth": (0.99, 0.0), "fourteenth": (1.0, 0.0),
    "fifteenth": (1.0, 0.01), "sixteenth": (1.0, 0.0), "seventeenth": (0.98, 0.01), "eighteenth": (1.0, 0.0),
    "nineteenth": (1.0, 0.0), "twentieth": (1.0, 0.0), "twentyfirst": (1.0, 0.0), "twentysecond": (1.0, 0.0),
    "twentythird": (1.0, 0.0), "twentyfourth": (1.0, 0.0), "twentyfifth": (1.0, 0.0), "twentysixth": (1.0, 0.0),
    "twentyseventh": (1.0, 0.0), "twentyeighth": (1.0, 0.0), "twentyninth": (1.0, 0.0), "thirtieth": (1.0, 0.0),
    "thirtyfirst": (1.0, 0.0), "thirtysecond": (1.0, 0.0), "reported": (1.0, 0.0),
}  # fmt: skip
CONTACTS = ["phone", "form", "url", "address", "access", "hours"]
GOALS = dict.fromkeys(MENDED, (1.0, 0.0)) | WHOLE
HELD_BACK = (0.95, 0.03)


@dataclass(frozen=True)
class Phrase:
    """A phrase for the page of a trade, the key of its source, and the keyword of the request."""

    trade: str
    source: str
    text: str
    keyword: str = ""


def phrases(name: str) -> list[Phrase]:
    lines = (FOLDER / f"{name}.tsv").read_text("utf-8").splitlines()
    return [Phrase(*line.split("\t")) for line in lines if line]


def fields(trade: str, keyword: str = "") -> CopyFields:
    purpose = "採用" if trade == "work" else "集客"
    return copy_fields(least(INDUSTRIES[trade], keywords=[keyword] if keyword else [], purpose=purpose))


def found(phrase: Phrase) -> list[Finding]:
    return forbidden([phrase.text], fields(phrase.trade, phrase.keyword)).get(0, [])


def reasons(phrase: Phrase, name: str) -> list[str]:
    if name not in WHOLE:
        return [finding.words for finding in found(phrase)]
    page = fields(phrase.trade, phrase.keyword).model_copy(update={"given": CONTACTS})
    return list(refused({"hero": {"lead": phrase.text}}, page).values())


def failures(name: str, harmless: bool) -> Iterator[str]:
    for phrase in phrases(name):
        if (phrase.source == "harmless") == harmless and bool(why := reasons(phrase, name)) == harmless:
            yield f"{phrase.trade} {phrase.text} {why}"


@pytest.mark.parametrize("name", [*GOALS, "held_back"])
def test_phrases_are_rightly_refused_or_let_through(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    every = phrases(name)
    harmless = sum(phrase.source == "harmless" for phrase in every)
    missed, touched = list(failures(name, harmless=False)), list(failures(name, harmless=True))
    share = 1 - len(missed) / (len(every) - harmless)
    with capsys.disabled():
        print(f"\n{name}: {share:.1%} refused rightly, {len(touched)} of {harmless} harmless touched")
    least_refused, most_touched = GOALS.get(name, HELD_BACK)
    assert share >= least_refused, missed
    assert len(touched) / harmless <= most_touched, touched


def test_good_pages_with_given_facts_are_let_through() -> None:
    lines = [line.split("\t") for line in (FOLDER / "good_pages.tsv").read_text("utf-8").splitlines()]
    touched = {}
    for industry, purpose, keywords, text in lines:
        given = copy_fields(least(industry, keywords=keywords.split("；"), purpose=purpose))
        page = given.model_copy(update={"given": CONTACTS})
        touched |= refused({text: text}, page)
    assert not touched


@pytest.mark.parametrize("words", ["残業はありません", "残業することはありません", "残業のない職場", "残業ゼロの職場"])
def test_a_given_lack_may_be_said_in_other_words(words: str) -> None:
    given = copy_fields(least("造園", keywords=["残業なし"], purpose="採用"))
    assert forbidden([words], given) == {}
    assert forbidden([words], fields("work"))


def test_each_phrase_is_in_one_list_and_has_a_source() -> None:
    sources = dict(line.split("\t") for line in (FOLDER / "sources.tsv").read_text("utf-8").splitlines())
    every = [phrase for name in (*GOALS, "held_back") for phrase in phrases(name)]
    assert {phrase.source for phrase in every} <= set(sources)
    assert {phrase.trade for phrase in every} <= set(INDUSTRIES)
    texts = [(phrase.trade, phrase.text) for phrase in every]
    repeated = {text for text in texts if texts.count(text) > 1}
    assert not repeated
    assert len(every) > 6_000


def test_a_page_is_checked_in_little_processor_time(capsys: pytest.CaptureFixture[str]) -> None:
    brief = brief_of(least("飲食", purpose="予約"))
    parts = [template_part(brief, group) for group in brief.groups]
    times = []
    for _ in range(30):
        started = time.thread_time()
        assert not any(refused(part, brief.fields) for part in parts)
        times.append((time.thread_time() - started) * 1_000)
    with capsys.disabled():
        print(f"\nthe check of a page's copy: {min(times):.1f} to {sorted(times)[15]:.1f} ms (least, median)")
    assert min(times) < 10


def test_a_finding_names_the_words_the_reason_and_the_law() -> None:
    finding = found(Phrase("generic", "fair", "絶対においしい"))[0]
    assert finding.reason == "「絶対」：結果を断定する言葉は使えません（景品表示法第5条第1号）"
    assert finding.rule.source.startswith("景品表示法第5条第1号、不実証広告ガイドライン")


@pytest.mark.parametrize(
    "text", ["初回は無料です", "創業五十年の味", "駅から徒歩３分", "500円ランチの店", "全品半額です"]
)
def test_facts_from_the_customers_words_are_allowed(text: str) -> None:
    given = least("造園", keywords=["初回無料", "創業50年", "徒歩3分", "500円ランチ", "半額"], purpose="集客")
    assert forbidden([text], copy_fields(given)) == {}
    assert forbidden([text], fields("generic"))


@pytest.mark.parametrize(
    ("trade", "text", "harmless"),
    [
        ("generic", "永久に使える道具はありません", True),
        ("school", "これほど完璧な塾はありません", False),
        ("shop", "返金には応じられません", True),
        ("school", "日本一の座を譲ったことがありません", False),
        ("cosmetic", "永久脱毛ではありません", True),
        ("gym", "10キロ減も夢ではありません", False),
        ("cleaning", "菌を完全になくすことはできません", True),
        ("shop", "絶対に損はありません", False),
        ("finance", "必ず増えるお金の話は疑いましょう", True),
        ("therapy", "治せない腰痛はありません", False),
        ("finance", "リスクのない投資はありません", True),
        ("generic", "ミスのない作業を心がけています", True),
        ("school", "これほど失敗のない塾はありません", False),
    ],
)
def test_a_denial_takes_a_claim_back_but_no_other_negation(trade: str, text: str, harmless: bool) -> None:
    assert (not found(Phrase(trade, "fair", text))) == harmless


@pytest.mark.parametrize("verdict", ["stated", "other"])
def test_a_given_fact_may_be_said_in_other_words_but_no_other(verdict: str) -> None:
    lines = [line.split("\t") for line in (FOLDER / "stated.tsv").read_text("utf-8").splitlines()]
    allowed = {
        (keyword, text): not forbidden([text], copy_fields(least("造園", keywords=[keyword], purpose="集客")))
        for kind, keyword, text in lines
        if kind == verdict
    }
    wrong = [case for case, let_through in allowed.items() if let_through != (verdict == "stated")]
    assert not wrong


def test_other_numbers_than_the_given_are_refused() -> None:
    given = copy_fields(least("造園", keywords=["創業50年", "徒歩3分"]))
    assert forbidden(["創業60年の信頼", "徒歩5分です"], given).keys() == {0, 1}


def test_a_superlative_is_refused_even_if_the_customer_wrote_it() -> None:
    assert forbidden(["日本一のラーメン"], copy_fields(least(keywords=["日本一のラーメン"])))
