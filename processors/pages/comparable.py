"""Normal forms of a text, so that different spellings of a word are equal."""

import re
import unicodedata
from html import unescape

_TAG = re.compile(r"</?[a-zA-Z!][^<>\n]{0,200}>")
# invisible characters: soft hyphen, joiners, fillers, variation selectors, marks of direction, controls
_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]"
)
_JAPANESE = "ぁ-ゖァ-ヺー一-鿿々〆〇"
_SEPARATOR = re.compile(
    r"[ \t・·‧∙•*_~`'\"“”‘’|\\^/]+"
    rf"|(?<=[{_JAPANESE}])[☆★♪♡♥◆◇■□▲▼△▽※†→…]+(?=[{_JAPANESE}])"
    r"|(?<=[一-龥])[-‐‑‒–—―−─]+(?=[一-龥])"
    r"|(?<![0-9a-z])\.|\.(?![0-9a-z])|(?<=[a-z])\.(?=[0-9])"
)
_LONG_VOWEL = re.compile("(?<=[ぁ-ゖァ-ヺ])[-‐‑‒–—―−─━]+(?=[ \t・·‧]*[ぁ-ゖァ-ヺ])")
_HYPHEN = re.compile("(?<=[0-9)〇零一二三四五六七八九])[‐‑‒–—―−─━ー](?=[0-9(〇零一二三四五六七八九])")
_TOP = re.compile("(?<![a-z])(?:top|best|sale)(?=[ぁ-ゖァ-ヺー一-鿿])")
_WORDS = {"top": "トップ", "best": "ベスト", "sale": "セール"}
_LETTER_O = re.compile("(?<=[0-9])o+(?=[0-9%円年人名件])")
_COMBINING = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff\ufe20-\ufe2f]")
_OLD = dict(zip("絕對髙醫藥效圓壹壱弐驗實價瘦零", "絶対高医薬効円一一二験実価痩〇", strict=True))
_OLD_FORM = re.compile(f"[{''.join(_OLD)}]")
# small vowels count as large ones, so ぜったぃ is ぜったい
_HIRAGANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
_HIRAGANA |= {ord(small) + shift: ord(small) + 1 for small in "ぁぃぅぇぉ" for shift in (0, 0x60)}
_TENTHS = re.compile("(?<![0-9])([1-9])割(?!合|烹)")
_DISCOUNT = re.compile("(?<=[%円])(?:引き?|びき|おふ|off)")
_NUMERALS = re.compile("[〇零一二三四五六七八九十百千万億]+")
_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")} | {"零": 0}
_UNITS = {"十": 10, "百": 100, "千": 1_000}
_GROUPS = {"万": 10_000, "億": 100_000_000}


def squeezed(text: str) -> str:
    """Normalise a text for comparison: NFKC, lower case, no markup, no hidden letters, no separators."""
    if "<" in text or "&" in text:
        text = _TAG.sub("", unescape(_TAG.sub("", text)))
    text = _COMBINING.sub("", unicodedata.normalize("NFKC", _UNSEEN.sub("", text)))
    text = _OLD_FORM.sub(lambda form: _OLD[form[0]], _UNSEEN.sub("", text).casefold())
    text = _LETTER_O.sub(lambda match: "0" * len(match[0]), text)
    text = _TOP.sub(lambda match: _WORDS[match[0]], text)
    return _SEPARATOR.sub("", _HYPHEN.sub("-", _LONG_VOWEL.sub("ー", text)))


def as_hiragana(text: str) -> str:
    """Replace katakana by hiragana. The length of the text does not change."""
    return text.translate(_HIRAGANA)


def with_digits(text: str) -> str:
    """Replace Japanese numerals by digits (五十 by 50), and all forms of a discount by 20%割引."""
    text = _NUMERALS.sub(lambda match: str(_number(match[0])), text).replace("半額", "50%割引")
    return _DISCOUNT.sub("割引", _TENTHS.sub(r"\g<1>0%", text))


def _number(numerals: str) -> int:
    if all(numeral in _DIGITS for numeral in numerals):
        return int("".join(str(_DIGITS[numeral]) for numeral in numerals))
    total = part = digit = 0
    for numeral in numerals:
        if numeral in _DIGITS:
            digit = digit * 10 + _DIGITS[numeral]
        elif numeral in _UNITS:
            part, digit = part + (digit or 1) * _UNITS[numeral], 0
        else:
            total, part, digit = total + (part + digit or 1) * _GROUPS[numeral], 0, 0
    return total + part + digit
