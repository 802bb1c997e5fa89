"""Phrases of Japanese text and words of a business's name, between which a line may break."""

import re
from functools import cache, lru_cache

import budoux

PARTICLES = "をがはにでとのへもや"
# characters that must not begin a line
CLOSING = "、。，．,.」』）〕】)！？!?ー…・"
# nouns of form: a line that begins with one reads badly
FORMAL = re.compile("(?:こと|もの|とき|ところ|ため|ほう|よう|わけ|はず)(?![一-龥ァ-ヶ])")
# words that the parser cuts in two
WHOLE = re.compile("笑顔|真心|しなやか|ゆるやか|もやもや|やすら[ぎぐ]|いたわ[るりっ]|ととの[えうっ]|待ちどおし|一歩")
# words before and after which a name may break
_BEFORE = (
    "株式会社|有限会社|合同会社|合資会社|医療法人(?:社団|財団)?|社会福祉法人|一般(?:社団|財団)法人|公益(?:社団|財団)法人|学校法人|宗教法人"
    "|NPO法人|特定非営利活動法人|弁護士法人|税理士法人|司法書士法人|行政書士法人|社会保険労務士法人|デイサービス|グループホーム|ケアハウス"
    "|特別養護老人ホーム|介護老人保健施設|居酒屋|炭火焼肉|焼肉|カフェ|ビストロ|トラットリア|リストランテ|ベーカリー"
)
_AFTER = (
    "(?:(?:内科|外科|小児科|皮膚科|眼科|耳鼻咽喉科|整形外科|歯科|こども|総合|レディース|メンタル|デンタル)*クリニック)|(?:内科|外科|小児科|皮膚科|眼科"
    "|耳鼻咽喉科|整形外科|歯科)*(?:医院|病院|診療所)|(?:弁護士|税理士|司法書士|行政書士|社会保険労務士|法律|会計|特許|設計)*事務所|整骨院|接骨院|整体院"
    "|鍼灸院|美容室|美容院|株式会社|有限会社|合同会社|保育園|幼稚園|こども園|学習塾|(?:英会話|ピアノ|料理|書道|ダンス|音楽)*教室|スクール|アカデミー"
    "|不動産|ホーム|ハウス|サロン|ベーカリー|食堂|酒場|本店|支店|[一-龥ァ-ヶー]{1,6}店"
)
_PARTS = re.compile(f"({_BEFORE})(?=.)|(?<=.)({_AFTER})$")
_SEPARATED = re.compile(r"(?<=[ 　・/／])|(?<=[a-z）)」])(?=[ぁ-んァ-ヶ一-龥])")
LONGEST_PART = 9
_SCRIPTS = re.compile(r"(?<=[ァ-ヶー])(?=[一-龥ぁ-ん])|(?<=[ぁ-ん])(?=[ァ-ヶ])|(?<=[A-Za-z])(?=[一-龥ぁ-んァ-ヶ])")


@cache
def _parser() -> budoux.Parser:
    return budoux.load_default_japanese_parser()


def phrases(text: str) -> list[str]:
    """Return the text's phrases in order.

    A particle stays with the quotation before it, and a known word stays whole.
    """
    return list(_phrases(text))


@lru_cache(maxsize=4_096)  # most headings are the same on many pages
def _phrases(text: str) -> tuple[str, ...]:
    parts: list[str] = []
    inside = {at for word in WHOLE.finditer(text) for at in range(word.start() + 1, word.end())}
    start = 0
    for phrase in _parser().parse(text):
        if parts and (start in inside or _belongs(phrase, parts[-1][-1])):
            parts[-1] += phrase
        else:
            parts.append(phrase)
        start += len(phrase)
    return tuple(parts)


def _belongs(phrase: str, last: str) -> bool:
    """Return whether no line may begin with the phrase after this letter."""
    formal = FORMAL.match(phrase) is not None and last not in CLOSING
    return phrase[0] in CLOSING or (last in "」』" and phrase[0] in PARTICLES) or formal


def name_phrases(name: str) -> list[str]:
    """Return the words of a business's name in order; a line may break between them.

    A name breaks at spaces and points, after its legal form and before its kind of shop. A word that is still long
    breaks where its script changes.
    """
    parts: list[str] = []
    for part in _SEPARATED.split(name):
        for word in _PARTS.split(part):
            if word:
                parts += _SCRIPTS.split(word) if len(word) > LONGEST_PART else [word]
    return parts


def columns(text: str, most: int = 9) -> list[str]:
    """Return the text in the fewest lines of at most `most` letters, as even as its phrases allow."""
    parts = phrases(text)
    count = -(-len(text) // most)
    for width in range(-(-len(text) // count), len(text) + 1):
        lines = [""]
        for part in parts:
            if lines[-1] and len((lines[-1] + part).rstrip("、")) > width:
                lines.append("")
            lines[-1] += part
        if len(lines) <= count or width >= most:
            return lines
    return parts
