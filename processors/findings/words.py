"""The sentences of findings, in English and Japanese."""

from dataclasses import replace

from processors.findings.looks import Kind, Look, Where
from processors.pictures.words import WORDS as MAP_WORDS
from processors.pictures.words import Language, Pairs, by_language
from schemas.sections import BY_NAME

SECTIONS: Pairs = {
    "hero": ("the first section", "最初の画面"),
    "problems": ("the problems", "お悩み"),
    "solution": ("the solution", "特長"),
    "features": ("the features", "特長"),
    "benefits": ("the benefits", "利点"),
    "testimonials": ("the testimonials", "お客様の声"),
    "price": ("the prices", "料金"),
    "treatments": ("the treatments", "自由診療のご案内"),
    "flow": ("the steps", "ご利用の流れ"),
    "faq": ("the questions", "よくある質問"),
    "information": ("the information", "店舗・会社の情報"),
    "closing": ("the last section", "最後のご案内"),
}
# the sentence, then the advice
ENGLISH: dict[Kind, tuple[str, str]] = {
    "dead_clicks": (
        "Visitors click {place}, and nothing happens: {dead_clicks} of {clicks} clicks there, on {device}.",
        "Make it work, or make it look less like a button.",
    ),
    "rage_clicks": (
        "Visitors click {place} again and again: {rage_clicks} of {clicks} clicks there, on {device}.",
        "Make it react at once, and show that it is working.",
    ),
    "device_gap": (
        "In {place}, visitors act far less on {device}: {own} of {saw}, against {other} of {saw_elsewhere} elsewhere.",
        "Open the page on that device. A button may be hidden, too small or broken.",
    ),
    "section_left": (
        "Many visitors leave at {place}: {left} of {saw} on {device}. In the sections around it, {usual} are usual.",
        "Write this section anew, shorten it, or leave it out.",
    ),
    "first_view_without_call": (
        "The first screen has no button that visitors use. On {device}, {missed} of {visits} leave without seeing one.",
        "Put a button into the first screen.",
    ),
    "call_too_low": (
        "The first button is at {place}. On {device}, only {saw} of {visits} visitors come that far.",
        "Move the button, or its section, up.",
    ),
    "read_not_clicked": (
        "Visitors read {place} for long ({seconds} s, elsewhere {usual} s), and {clicks} of {saw} click, on {device}.",
        "Put a button there.",
    ),
    "sought_too_low": (
        "Visitors at {place} read it for long ({seconds} s, elsewhere {usual} s). Only {saw} come so far, on {device}.",
        "Move this section up.",
    ),
    "attention_without_link": (
        "Many pointers rest on {place}, and hardly any visitor clicks: {rests} rests, {clicks} clicks, on {device}.",
        "Link it, or put a button beside it.",
    ),
    "page_too_long": (
        "Hardly any visitor sees the lower half of the page: {saw} of {visits} on {device}. It has {screens} screens.",
        "Shorten the page, or move the important sections up.",
    ),
}
JAPANESE: dict[Kind, tuple[str, str]] = {
    "dead_clicks": (
        "{place}がクリックされていますが、何も起きません（{device}でクリック{clicks}回のうち{dead_clicks}回）。",
        "押したら動くようにするか、ボタンに見えないデザインにしてください。",
    ),
    "rage_clicks": (
        "{place}が何度も続けてクリックされています（{device}でクリック{clicks}回のうち{rage_clicks}回）。",
        "すぐに反応させ、処理中であることを表示してください。",
    ),
    "device_gap": (
        "{place}では、{device}での反応がほかの機器より大幅に少なくなっています（{saw}回の閲覧で{own}、ほかでは{saw_elsewhere}回で{other}）。",
        "その機器でページを開いてみてください。ボタンが隠れている、小さい、動かないなどの原因が考えられます。",
    ),
    "section_left": (
        "{place}で多くの人がページを離れています（{device}で{saw}人中{left}人。前後のセクション並みなら{usual}人）。",
        "このセクションを書き直すか、短くするか、外してください。",
    ),
    "first_view_without_call": (
        "最初の画面に、使われているボタンがありません。{device}では{visits}人中{missed}人が、最初のボタンを見ずに離れています。",
        "最初の画面にボタンを置いてください。",
    ),
    "call_too_low": (
        "最初のボタンは{place}にあります。{device}でそこまで進む人は{visits}人中{saw}人だけです。",
        "ボタン、またはそのセクションを上へ移してください。",
    ),
    "read_not_clicked": (
        "{place}は長く読まれています（{seconds}秒、ほかは{usual}秒）が、クリックは{saw}人で{clicks}回です（{device}）。",
        "ここにボタンを置いてください。",
    ),
    "sought_too_low": (
        "{place}まで来た人は、そこを長く読みます（{seconds}秒、ほかは{usual}秒）。しかし{device}でそこまで進む人は{saw}人だけです。",
        "このセクションを上へ移してください。",
    ),
    "attention_without_link": (
        "{place}でポインターが{rests}回止まっていますが、クリックは{clicks}回だけです（{device}）。",
        "リンクにするか、そばにボタンを置いてください。",
    ),
    "page_too_long": (
        "ページの下半分はほとんど見られていません（{device}で{visits}人中{saw}人）。ページは{screens}画面分の長さです。",
        "ページを短くするか、大切なセクションを上へ移してください。",
    ),
}
DEVICES = {"mobile": "phones", "tablet": "tablets", "desktop": "desktops"}
TEXTS = {"en": ENGLISH, "ja": JAPANESE}
PLACES = by_language(
    {
        "section": ("{name}", "「{name}」"),
        "spot": ("a place in {name}, {px} px from the top", "「{name}」の中、上から{px}pxの場所"),
        "bare": ("a place {px} px from the top", "上から{px}pxの場所"),
        "fixed": ("a place that stays on screen, {px} px from its top", "画面に固定された、画面の上から{px}pxの場所"),
        "element": ("“{element}” ({place})", "「{element}」（{place}）"),
        "page": ("the whole page", "ページ全体"),
        "found": ("Findings in {visits} visits: {n}.", "{visits}回の閲覧から、気になる点が{n}件見つかりました。"),
        "none": ("Nothing stands out in {visits} visits.", "{visits}回の閲覧では、特に気になる点はありません。"),
        "more": (
            " A smaller difficulty needs about {more} more visits.",
            "小さな問題を見つけるには、あと約{more}回の閲覧が必要です。",
        ),
        "few": (
            "Nothing is certain after {visits} visits. About {more} more are needed.",
            "{visits}回の閲覧では、まだはっきりしたことは言えません。あと約{more}回必要です。",
        ),
        "goal": ("{n} reach a goal", "成果{n}件"),
        "click": ("{n} clicks", "クリック{n}回"),
    }
)


def sentence(look: Look, language: Language) -> str:
    """Return the finding as a sentence."""
    numbers = {name: _number(value) for name, value in look.evidence.items()}
    words = PLACES[language]
    for side, suffix in (("own", ""), ("other", "_elsewhere")):
        word = "goal" if f"goals{suffix}" in numbers else "click"
        if (count := numbers.get(f"{word}s{suffix}")) is not None:
            numbers[side] = words[word].format(n=count)
    device = DEVICES[look.device] if language == "en" else MAP_WORDS[language][look.device]
    text = TEXTS[language][look.kind][0].format(
        place=place(look.where, language, look.element), device=device, **numbers
    )
    return text[0].upper() + text[1:]


def brief(look: Look, language: Language) -> str:
    """Return the sentence and the advice for a model, without names that a beacon has chosen."""
    known = look.where.section if look.where.section in SECTIONS or look.where.section in BY_NAME else None
    safe = replace(look, where=replace(look.where, section=known), element=None)
    return sentence(safe, language) + (" " if language == "en" else "") + advice(look, language)


def advice(look: Look, language: Language) -> str:
    """Return the advice for the finding."""
    return TEXTS[language][look.kind][1]


def place(where: Where, language: Language, element: str | None = None) -> str:
    """Return the words for a place, and for the element there."""
    words = PLACES[language]
    if element is not None:
        return words["element"].format(element=_printable(element), place=place(where, language))
    middle = f"{(where.from_px + where.to_px) // 2:,}"
    if where.fixed:
        return words["fixed"].format(px=middle)
    whole_width = (where.from_percent, where.to_percent) == (0, 100)
    if where.section is None:
        return words["page" if whole_width else "bare"].format(px=middle)
    name = section_name(where.section, language)
    return words["section" if whole_width else "spot"].format(name=name, px=middle)


def section_name(section: str, language: Language) -> str:
    """Return the name of a section in a sentence; for an unknown section its own name."""
    given = _printable(section)
    english, japanese = SECTIONS.get(section, (f"“{given}”", given))
    return english if language == "en" else japanese


def _printable(name: str) -> str:
    """Return a name that a browser sends, without control characters: a terminal must not get them."""
    return "".join(letter for letter in name if letter.isprintable())


def summary(findings: int, visits: int, more: int, language: Language) -> str:
    """Return a sentence about the whole report."""
    words = PLACES[language]
    if not findings and more:
        return words["few"].format(visits=f"{visits:,}", more=f"{more:,}")
    text = words["found" if findings else "none"].format(n=findings, visits=f"{visits:,}")
    return text + (words["more"].format(more=f"{more:,}") if more else "")


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 10 and not float(value).is_integer() else f"{value:,.0f}"
