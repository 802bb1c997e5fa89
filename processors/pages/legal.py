"""Legal rules of a page: facts that it may not show, and facts that it needs."""

from processors.pages.facts import phone_of
from processors.pages.lint import unlawful
from processors.pages.prices import doubtful_prices
from processors.pages.trades import MEDICAL, trade_of
from processors.text import cut, folded, shown, walk
from schemas.generation import GenerationRequest, Sale, Treatment, Warning_
from schemas.plan import Brief

LICENSED = {"realestate": "宅地建物取引業の免許番号", "counsel": "登録番号・所属会"}
SALE = {
    "responsible": "運営責任者の氏名",
    "shipping": "送料と、商品代金のほかに必要な費用",
    "payment": "支払いの時期と方法",
    "delivery": "商品の引渡時期",
    "returns": "返品・キャンセルの条件",
}
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

    Codes: `unknown_trade`, `facts_not_shown`, `legal_slot_missing`, `advertising_law`.
    """
    needed = LICENSED.get(brief.trade)
    licence = {"facts.licences": needed} if needed and not request.facts.licences else {}
    missing = {**(_missing_of_sale(request) if brief.purpose == "sale" else {}), **_missing_of_treatments(request)}
    return [
        *_trade_warnings(request),
        *_own_words(request),
        *(Warning_(code="advertising_law", detail=f"{name}: {why}") for name, why in doubtful_prices(request)),
        *(Warning_(code="legal_slot_missing", detail=f"{name}: {use}") for name, use in missing.items()),
        *(
            Warning_(code="legal_slot_missing", detail=f"{name}: {use}の表示に使います")
            for name, use in licence.items()
        ),
    ]


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
    groups = trade_of(request.industry).groups
    typed = {
        "keywords": request.keywords,
        "facts": request.facts.model_dump(include={"testimonials", "licences", "prices", "treatments"}),
        "assets": {"picture_alt": request.assets.picture_alt or ""},
    }
    texts = walk(typed)
    every = unlawful([words for _, words in texts], groups)
    hits = sorted((at, found[0].reason) for at, found in every.items())
    return [Warning_(code="advertising_law", detail=f"{texts[at][0]}: {reason}") for at, reason in hits]


def _missing_of_sale(request: GenerationRequest) -> dict[str, str]:
    """Return the missing items of 特定商取引法 第11条, with their use."""
    business, facts = request.business, request.facts
    sale = facts.sale or Sale()
    law = "特定商取引法第11条の表示に使います"
    values = {
        "business.address": business.address,
        "business.phone": phone_of(request),
        "facts.prices": facts.prices,
        "business.url": business.url,
    }
    items = {f"facts.sale.{name}": f"{use}（{law}）" for name, use in SALE.items() if not getattr(sale, name)}
    return {name: law for name, value in values.items() if not value} | items


def _missing_of_treatments(request: GenerationRequest) -> dict[str, str]:
    """Return the missing details of treatments that insurance does not pay, with their use."""
    if MEDICAL not in trade_of(request.industry).groups or not trade_of(request.industry).known:
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
