"""The lint for Japanese advertising law. It rewrites a word where the sentence allows it, else warns.

Sources: 景品表示法 (優良誤認・有利誤認), 医療広告ガイドライン, 不動産の表示に関する公正競争規約 第18条.
A lint finds words, not meanings, so it does not replace a legal review.
"""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from processors.pages.answers import walk
from processors.text import shown
from schemas.copywriting import Copy
from schemas.generation import GenerationRequest, Warning_
from schemas.sections import BY_NAME


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, its replacement (None: warn only), and the law behind it."""

    pattern: re.Pattern[str]
    instead: str | None
    law: str


def _rules(law: str, *pairs: tuple[str, str | None]) -> tuple[Rule, ...]:
    return tuple(Rule(re.compile(pattern, re.IGNORECASE), instead, law) for pattern, instead in pairs)


FAIR = "景品表示法"
EVERY_TRADE = _rules(
    FAIR,
    (r"(?:地域|業界|日本|世界|県内|市内|当社|満足度)?\s*(?:No\.?\s?[1１]|ナンバーワン|ナンバー1)の?", "おすすめの"),
    (r"(?:日本|世界|地域|業界|県内|市内)(?:一|初|最大|最高|最安)の", "こだわりの"),
    (r"(?:日本|世界|地域|業界|県内|市内)(?:一|初|最大|最高|最安)", None),
    (r"(?:絶対に?|必ずや?|100\s?[%％])(?=[ぁ-んァ-ヶ一-龥])", ""),
    (r"最高の", "心をこめた"),
    (r"最高級の?", "上質な"),
    (r"究極の", "こだわりの"),
    (r"(?:完全|完璧)な", "丁寧な"),
    (r"(?:完全|完璧)に", "しっかりと"),
    (r"永久に|永遠に", "長く"),
    (r"誰でも簡単に", "はじめての方でも"),
    (r"(?:激安|最安値?|格安|業界最安)", None),
    (r"(?:絶対|必ず|完璧|満足度|永久保証|効果抜群|今だけ|唯一無二)", None),
)
OF_TRADE = {
    "clinic": _rules(
        "医療広告ガイドライン",
        (r"最先端の|最新の", "現在の"),
        (r"(?:完全に?治す|完治|根治|治ります|治せます)", None),
        (r"無痛の?|痛みのない", "痛みに配慮した"),
        (r"安全な治療", "ご説明のうえでの治療"),
        (r"(?:名医|神の手|スーパードクター|芸能人|ビフォーアフター|症例数|成功率|副作用はありません|保証)", None),
    ),
    "beauty": _rules(
        "薬機法・景品表示法",
        (r"若返り?(?:ます|る)?|アンチエイジング", "すこやかな印象"),
        (r"(?:シミ|シワ|しわ|しみ)が消える", None),
        (r"(?:治療|治る|治す|細胞|デトックス|永久脱毛|小顔になる|痩せる)", None),
    ),
    "realestate": _rules(
        "不動産の表示に関する公正競争規約",
        (r"厳選(?:した|された)?", "ご紹介する"),
        (r"抜群の", "よい"),
        (r"(?:掘出物|掘り出し物|特選|特級|一級|破格|買得|お買い得|格安|値上がり|完売|理想の物件)", None),
    ),
    "counsel": _rules(
        "景品表示法・士業の広告規程",
        (r"(?:勝訴|許可|還付|減額|成功)を(?:保証|約束)", None),
        (r"(?:勝てます|勝訴率|必勝|最強)", None),
    ),
    "school": _rules(FAIR, (r"(?:合格保証|必勝|合格させます|成績が必ず上がる)", None)),
    "shop": _rules(
        "景品表示法・薬機法",
        (r"(?:血圧|血糖|ダイエット|痩せる|治る|予防でき|免疫力)", None),
        (r"(?:二重価格|通常価格|メーカー希望小売価格)", None),
    ),
    "restaurant": _rules("景品表示法・健康増進法", (r"(?:無添加|国産|天然|産地直送|健康になる|痩せる)", None)),
}  # fmt: skip


def lint(copy: Copy, trade: str) -> tuple[Copy, list[Warning_]]:
    """Return the rewritten copy, and a warning for each word that was or could not be rewritten.

    Codes: `advertising_rewritten`, `advertising_law`. If rewriting would make a section too short or too long, the
    section does not change.
    """
    rules = OF_TRADE.get(trade, ()) + EVERY_TRADE
    before, after = copy.model_dump(), {}
    warnings: list[Warning_] = []
    for name, section in before.items():
        of_section: list[Warning_] = []
        after[name] = _rewritten(section, name, rules, of_section)
        if not _fits(name, after[name]):
            after[name] = section
            of_section = [warning.model_copy(update={"code": "advertising_law"}) for warning in of_section]
        warnings += of_section
    return Copy.model_validate(after), warnings


def _fits(name: str, section: Any) -> bool:
    try:
        BY_NAME[name].holds.model_validate(section)
    except ValidationError:
        return section is None
    return True


def _rewritten(value: Any, path: str, rules: tuple[Rule, ...], warnings: list[Warning_]) -> Any:
    if isinstance(value, dict):
        return {key: _rewritten(item, f"{path}.{key}", rules, warnings) for key, item in value.items()}
    if isinstance(value, list):
        return [_rewritten(item, f"{path}.{at}", rules, warnings) for at, item in enumerate(value)]
    return _text(value, path, rules, warnings) if isinstance(value, str) else value


def _text(text: str, path: str, rules: tuple[Rule, ...], warnings: list[Warning_]) -> str:
    for rule in rules:
        match = rule.pattern.search(text)
        if match is None:
            continue
        if rule.instead is None:
            warnings.append(Warning_(code="advertising_law", detail=f"{path}: 「{match[0]}」{rule.law}"))
            continue
        warnings.append(
            Warning_(code="advertising_rewritten", detail=f"{path}: 「{match[0]}」→「{rule.instead}」{rule.law}")
        )
        text = rule.pattern.sub(rule.instead, text)
    return text


def lint_request(request: GenerationRequest, trade: str) -> list[Warning_]:
    """Return warnings for the customer's own texts, which are shown as given and never rewritten."""
    rules = OF_TRADE.get(trade, ()) + EVERY_TRADE
    typed = {"keywords": request.keywords, "facts": request.facts.model_dump(include={"testimonials", "licences"})}
    warnings = []
    for path, words in ((path, shown(words)) for path, words in walk(typed, "")):
        hits = ((rule, match) for rule in rules if (match := rule.pattern.search(words)) is not None)
        if (first := next(hits, None)) is not None:
            rule, match = first
            warnings.append(Warning_(code="advertising_law", detail=f"{path[1:]}: 「{match[0]}」{rule.law}"))
    return warnings
