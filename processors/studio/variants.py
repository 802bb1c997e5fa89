"""The difference of a variant, and the reason why one was not made, in Japanese for the studio."""

import re

from processors.studio.parts import title

DESIGNS = {
    "restaurant": "飲食店向け", "beauty": "美容向け", "realestate": "不動産向け", "clinic": "医療向け",
    "school": "教育向け", "shop": "ショップ向け", "counsel": "士業向け", "generic": "汎用",
}  # fmt: skip

# The texts of `processors/pages/variants.py`, `processors/pages/rewriting.py`, `streams/pictures/parents.py` and
# `streams/generation/`. The groups `sections` and `others` are lists of sections, `order` and `before` are orders.
TEXTS: tuple[tuple[str, str], ...] = (
    (r"the text of (?P<sections>.+)", "{sections}の文章"),
    (r"the order of sections: (?P<order>.+); before: (?P<before>.+)", "{order}（元のページ：{before}）"),
    (r"the design: (?P<design>\w+) in place of (?P<old_design>\w+)", "{design}のデザイン（元のページ：{old_design}）"),
    (
        r"the words of the calls to action: 「(?P<words>.*)」 in place of 「(?P<old>.*)」",
        "ボタンの言葉「{words}」（元のページ：「{old}」）",
    ),
    (
        r"the calls to action: at the end of (?P<sections>.+) in place of (?P<others>.+)",
        "ボタンを置いた場所：{sections}（元のページ：{others}）",
    ),
    (
        r"(?P<sections>\w+) holds facts of the customer, or the page does not have it; the texts of (?P<others>.+) "
        r"can be written anew",
        "{sections}は、入力どおりに載せる情報か、このページにない場所です。書き直せるのは{others}の文章です。",
    ),
    (r"(?P<order>.+) is the order that the page has; .*", "ページはすでにこの順番です：{order}"),
    (
        r"the page's call to action, 「(?P<words>.*)」, cannot stand in (?P<sections>.+)",
        "このページのボタン「{words}」は、{sections}には置けません。",
    ),
    (r"(?P<sections>.+) already end with the page's calls to action", "{sections}には、すでにボタンがあります。"),
    (
        r"(?P<sections>\w+) keeps its place and its call to action; .*",
        "{sections}の場所とボタンは変えられません。ほかの場所を選んでください。",
    ),
    (
        r"the page has no section (?P<sections>\w+); it has (?P<others>.+)",
        "このページに{sections}はありません。選べるのは{others}です。",
    ),
    (r"tenant \S+ has no page (?P<name>\S+) that was made here", "元のページ {name} が見つかりません。"),
    (
        r"the stored source of \S+ cannot be read: .*",
        "元のページのデータを読み込めません。管理者にお知らせください。",
    ),
    (
        r"the parent cannot be read: .*",
        "元のページを今は読み込めません。少し待ってからお試しください。",
    ),
    (r"the page could not be stored: .*", "ページを保存できませんでした。少し待ってからお試しください。"),
    (
        r"(?P<sections>.+): (?:a provider wrote nearly the parent's text twice"
        r"|no provider wrote it, and no other built-in text exists); .*",
        "{sections}の文章が、元のページとほぼ同じになりました。"
        "ほかの場所を選ぶか、変えたい理由や方向を書き足してください。",
    ),
    (
        r"was used for another request; .*",
        "同じ番号の依頼をすでに受け付けています。もう一度お試しください。",
    ),
)
_TEXTS = [(re.compile(pattern, re.DOTALL), words) for pattern, words in TEXTS]


def japanese(text: str) -> str | None:
    """Return a variant's difference, or why it was not made, in Japanese; None for an unknown text."""
    for pattern, words in _TEXTS:
        if (match := pattern.fullmatch(text)) is not None:
            return words.format(**{name: _named(name, value) for name, value in match.groupdict().items()})
    return None


def _named(group: str, value: str) -> str:
    """Return the value of a group, with the names of sections that people know."""
    if group in ("sections", "others"):
        return "なし" if value == "no section" else "".join(f"「{_title(name)}」" for name in value.split(", "))
    if group in ("order", "before"):
        return " → ".join(map(_title, value.split(", ")))
    return DESIGNS.get(value, value) if group in ("design", "old_design") else value


def _title(section: str) -> str:
    return title(section, "ja")
