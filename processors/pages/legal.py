"""Legal rules of a page: facts that it may not show, and facts that it needs."""

import re

from processors.pages.calls import sells
from processors.pages.facts import given_of, known, phone_of, terms_of, ways_of
from processors.pages.licences import licences_of, unanswered
from processors.pages.lint import groups_of, unlawful
from processors.pages.prices import doubtful_prices
from processors.pages.purposes import RECRUIT
from processors.pages.sites import host_of, takes_posts
from processors.pages.trades import CLINIC, MEDICAL, trade_of
from processors.pages.words import words_of
from processors.text import cut, folded, shown, walk
from schemas.generation import GenerationRequest, Treatment, Warning_
from schemas.plan import Brief
from schemas.sections import Notice

SALE = {
    "responsible": "運営責任者の氏名",
    "shipping": "送料と、商品代金のほかに必要な費用",
    "payment": "支払いの時期と方法",
    "delivery": "商品の引渡時期",
    "returns": "返品・キャンセルの条件",
}
# the same items, in the words of the table
TERMS = {
    "responsible": "運営責任者",
    "shipping": "送料・その他の費用",
    "payment": "お支払いの時期と方法",
    "delivery": "お届けの時期",
    "returns": "返品・キャンセル",
}
# names of places read like ranks: 上京区一条, 最上郡
_PLACE = re.compile("[都道府県市区町村郡島]")
ASK = "お問い合わせください"
_WAGE = re.compile("(?:[時日月]給|年[収俸]|給[与料]|賃金|日当|月収)[^0-9]{0,12}[0-9]")
TREATMENT = {
    "content": "治療の内容",
    "cost": "標準的な費用",
    "risks": "主なリスクと副作用",
    "period": "治療の期間と回数",
}
# treatments that public health insurance seldom pays
UNINSURED = (
    "自由診療", "保険外", "自費", "美容", "審美", "インプラント", "矯正", "ホワイトニング", "aga", "薄毛",
    "脱毛", "痩身", "ダイエット", "レーシック", "icl", "豊胸", "二重", "ボトックス", "ヒアルロン", "点滴",
    "再生医療", "人間ドック", "ピアス", "シミ", "若返",
)  # fmt: skip


def forbids_testimonials(industry: str) -> bool:
    """Return whether the page may not show testimonials.

    Patients' experiences may not advertise medical services (医療法施行規則 第1条の9), nor acupuncture, massage or judo
    therapy. A trade that the list does not have may be one of them.
    """
    return not trade_of(industry).groups.isdisjoint((MEDICAL, "therapy"))


def page_warnings(request: GenerationRequest, brief: Brief) -> list[Warning_]:
    """Return warnings about input that the customer should correct.

    Codes: `unknown_trade`, `facts_not_shown`, `legal_slot_missing`, `advertising_law`, `form_target`.
    """
    missing = {
        **(_missing_of_sale(request) if sells(request, brief) else {}),
        **(_missing_of_work(request) if brief.purpose == RECRUIT else {}),
        **_missing_of_treatments(request),
    }
    licences = unanswered(licences_of(request.industry, sells(request, brief)), request.facts.licences)
    return [
        *_trade_warnings(request),
        *_own_words(request),
        *_form_warnings(request),
        *(Warning_(code="advertising_law", detail=f"{name}: {why}") for name, why in doubtful_prices(request)),
        *(Warning_(code="legal_slot_missing", detail=f"{name}: {use}") for name, use in missing.items()),
        *(
            Warning_(code="legal_slot_missing", detail=f"facts.licences: {one.shows}の表示に使います（{one.law}）")
            for one in licences
        ),
    ]


def notice_of_sale(request: GenerationRequest, brief: Brief) -> Notice | None:
    """Return the table of 特定商取引法, or None if the page sells nothing or the table would say nothing.

    A missing item refers to the page's ways of contact. On a page without one, only the given items are shown, and
    without most of the items the table does not claim to be that of the law.
    """
    if not sells(request, brief):
        return None
    terms, price = terms_of(request), words_of(brief).headings["price"]
    values = {
        "所在地": request.business.address,
        "電話番号": phone_of(request),
        "販売価格": f"「{price}」に表示しています" if request.facts.prices else None,
        **{word: terms.get(name) for name, word in TERMS.items()},
    }
    given = {word: value for word, value in values.items() if value}
    if "contact" in known(given_of(request)):
        given = {word: value or ASK for word, value in values.items()}
    if len(given) * 2 >= len(values):
        return Notice(heading="特定商取引法に基づく表記", rows={"販売事業者": request.business.name, **given})
    own = {word: terms[name] for name, word in TERMS.items() if name in terms}
    return Notice(heading="お取引の条件", rows=own) if own else None


def _trade_warnings(request: GenerationRequest) -> list[Warning_]:
    warnings = []
    if not trade_of(request.industry).known:
        name = cut(shown(request.industry), 50)
        detail = (
            f"industry: 「{name}」は業種の一覧にないため、いちばん厳しい広告のルールを使いました。"
            "一般的な業種名を添えてください"
        )
        warnings.append(Warning_(code="unknown_trade", detail=detail))
    if request.facts.testimonials and forbids_testimonials(request.industry):
        detail = (
            "facts.testimonials: 医療・施術の広告では体験談を掲載できません"
            "（医療法施行規則第1条の9、あはき・柔整広告ガイドライン）"
        )
        warnings.append(Warning_(code="facts_not_shown", detail=detail))
    return warnings


def _own_words(request: GenerationRequest) -> list[Warning_]:
    """Return a warning for each text of the customer that a rule forbids; the page shows it as given."""
    shown = {
        "keywords": request.keywords,
        "business": request.business.model_dump(include={"name", "address"}),
        "facts": request.facts.model_dump(),
        "assets": request.assets.model_dump(include={"picture_alt"}),
    }
    texts = walk(shown)
    every = unlawful([words for _, words in texts], groups_of(request.industry, request.purpose))
    return [
        Warning_(code="advertising_law", detail=f"{texts[at][0]}: {found[0].reason}")
        for at, found in sorted(every.items())
        if texts[at][0] != "business.address" or not _PLACE.match(found[0].words)
    ]


def _form_warnings(request: GenerationRequest) -> list[Warning_]:
    """Return a warning unless the address of the form is known to take a visitor's entries."""
    form = ways_of(request).get("form")
    if form is None or takes_posts(form, request.business.url):
        return []
    detail = (
        f"business.form_url: ページのフォームが {host_of(form)} へ内容（name・email・message）をPOSTで送ります。"
        "受け取れる送信先か、試しに送って確かめてください。フォームや予約の「ページ」のアドレスでは、お客様の入力が失われます"
    )
    return [Warning_(code="form_target", detail=detail)]


def _missing_of_sale(request: GenerationRequest) -> dict[str, str]:
    """Return the missing items of 特定商取引法 第11条, with their use."""
    law, terms = "特定商取引法第11条の表示に使います", terms_of(request)
    values = {
        "business.address": request.business.address,
        "business.phone": phone_of(request),
        "facts.prices": request.facts.prices,
    }
    items = {f"facts.sale.{name}": f"{use}（{law}）" for name, use in SALE.items() if name not in terms}
    return {name: law for name, value in values.items() if not value} | items


def _missing_of_work(request: GenerationRequest) -> dict[str, str]:
    """Return the missing conditions of work that an offer of work names, with their use."""
    law = "募集の条件の明示に使います。職業安定法第5条の3・第5条の4"
    facts, business = request.facts, request.business
    wage = facts.prices or any(_WAGE.search(folded(word)) for word in request.keywords)
    given = {
        "facts.prices": ("賃金", wage),
        "business.address": ("就業の場所", business.address or facts.access),
        "facts.hours": ("就業の時間", facts.hours),
    }
    return {name: f"{use}（{law}）" for name, (use, value) in given.items() if not value}


def _missing_of_treatments(request: GenerationRequest) -> dict[str, str]:
    """Return the missing details of treatments that insurance does not pay, with their use."""
    if trade_of(request.industry).design != CLINIC:  # a supplier of clinics treats nobody
        return {}
    law = "自由診療の広告に必要です。医療法施行規則第1条の9の2"
    treatments: list[Treatment] = request.facts.treatments
    typed = folded(" ".join((request.industry, *request.keywords)))
    if not treatments and (request.facts.prices or any(word in typed for word in UNINSURED)):
        return {"facts.treatments": f"{'・'.join(TREATMENT.values())}（{law}）"}
    return {
        f"facts.treatments.{at}.{name}": f"{use}（{law}）"
        for at, treatment in enumerate(treatments)
        for name, use in TREATMENT.items()
        if not getattr(treatment, name)
    }
