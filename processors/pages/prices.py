"""Wording of prices that Japanese law restricts: prices without tax alone, and prices beside a former one."""

import re
from collections.abc import Iterator

from processors.text import folded
from schemas.generation import GenerationRequest

_TAX = "税込みの価格がありません。総額も書いてください（消費税法第63条）"
_DOUBLE = (
    "ほかの価格と比べる表示です。比べる価格は、最近まで実際に売っていた価格など、確かな根拠のあるものに限ります"
    "（景品表示法第5条第2号）"
)
_AMOUNT = r"(?:¥[0-9][0-9,.]*|[0-9][0-9,.]{0,14}(?:[万千]+円?|円|yen)|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\([^()]*\))?"
_FORMER = (
    "(?:通常|定価|元値|旧価格|標準価格|希望小売価格|参考価格|市価|市場価格|他店|他社|普段|従来)"
    "(?:価格|料金|販売|では|は|で|の|:)*"
)
_NOW = "(?:今なら|今だけ|特別|特価|半額|割引|セール|キャンペーン|値下げ|限定|初回|当店|当社)"
_CUT = "(?:の|から|より)?(?:半額|[0-9]+(?:%|割)(?:引|off|オフ))"
_WITHOUT_TAX = re.compile(
    "税抜|税ぬき|税別(?!表)|(?<![海国])外税|本体(?:価格|代)|(?:[+]|プラス|別途)(?:消費)?税(?![務理])"
    "|消費税[はが]?別途?|消費税(?:を|は)?含(?:まな|みま)|excl[a-z.]*tax|tax[a-z]*excl|(?:[+]|plus)tax"
)
_WITH_TAX = re.compile(r"税込|(?<!国)内税|税を?含(?:[むめん]|みで)|incl[a-z.]*tax|tax[a-z]*incl")
_COMPARED = re.compile(
    f"{_AMOUNT}(?:[→⇒➡➔⟶▶]|[-=]*>|のところ)[^0-9¥|]{{0,10}}{_AMOUNT}|{_AMOUNT}[がを]{_AMOUNT}"
    rf"|{_FORMER}{_AMOUNT}(?:\)?\||[^0-9¥|]{{0,4}}{_NOW})|{_AMOUNT}[^0-9¥|/、]{{0,12}}{_FORMER}{_AMOUNT}"
    f"|(?:{_FORMER}|{_AMOUNT}){_CUT}"
)


def doubtful_prices(request: GenerationRequest) -> Iterator[tuple[str, str]]:
    """Yield the field, and the words with the reason, of each price that the law may not allow as written."""
    for field, text in _priced(request):
        words = folded(text).replace(" ", "")
        if (tax := _WITHOUT_TAX.search(words)) and re.search("[0-9]", words) and not _WITH_TAX.search(words):
            yield field, f"「{tax[0]}」：{_TAX}"
        if compared := _COMPARED.search(words):
            yield field, f"「{compared[0]}」：{_DOUBLE}"


def _priced(request: GenerationRequest) -> Iterator[tuple[str, str]]:
    """Yield the fields that may hold a price. A label and its price are one text, as on the page."""
    facts = request.facts
    yield from ((f"keywords.{at}", word) for at, word in enumerate(request.keywords))
    for at, price in enumerate(facts.prices):
        yield f"facts.prices.{at}", f"{price.label}|{price.text or f'{price.yen}円'}"
    yield from ((f"facts.treatments.{at}.cost", one.cost) for at, one in enumerate(facts.treatments) if one.cost)
    if facts.sale and facts.sale.shipping:
        yield "facts.sale.shipping", facts.sale.shipping
