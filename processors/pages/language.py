"""The check that a model's text is publishable Japanese.

It finds other languages, placeholders, Markdown, and echoes of the prompt.
"""

import re
from functools import cache

from pydantic.json_schema import models_json_schema

from processors.text import plain, walk
from schemas.copywriting import NAME_SLOT, TOPIC_SLOT
from schemas.sections import SECTIONS, Filler

# each of the patterns below needs one of these
_UNUSUAL = re.compile(
    r"[^ぁ-ヿ一-鿿、。！？「」々（）・ー0-9]|[:：]|ここに|申し訳|できません|できかね|しかね|[けえれ]ません|適切で|控え|断り|違反|略|以下|ダミー|サンプル|仮の|仮テ|句点|スキーマ|プロンプト|文字|字|アシスタント|モデル|キャッチコピー|リード文|タイトル|見出し|回答|質問|説明|（(?:商品|店|会社|企業|屋号|サービス|地域|地名|都道|市区|名前|氏名|お|電話|住所|数字|金額|価格|年数|日付|要|入力|例|こ|題|業|キ|[^（）]{1,4}名）)"
)
# a Japanese sentence has more kana than this; a headline without any kana is possible (地域密着の総合税務)
LEAST_KANA, SENTENCE, WORDS, WORD = 0.15, 20, 3, 6
COMMON_VARIANTS = "麵"  # written on signs of Japanese noodle shops
# old forms that are usual in Chinese; a Japanese headline without any kana has none of them
_TRADITIONAL = re.compile("[歡團專對體實與讓麼當會來樂氣鐵關觀覺變總點圖價醫藥經驗單嚴營灣臺處號舊]")
_HAN = re.compile("[\u3400-\u9fff]")
_SLOTS = re.compile(f"{NAME_SLOT}|{TOPIC_SLOT}")
_KANA = re.compile("[ぁ-ゖァ-ヺー]")
_LETTER = re.compile(r"[^\W\d_]")
_LATIN_WORD = re.compile("[A-Za-z]{2,}")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]")
_OTHER_SCRIPT = re.compile("[\u0370-\u03ff\u0400-\u05ff\u0600-\u06ff\u0900-\u0e7f]{2,}")
_PLACEHOLDER = re.compile(
    r"(?<![一二三四五六七八九〇])(?![〇○◯][×✕](?:クイズ|ゲーム|問題|形式|方式|式|で答))[〇○◯●◎△▲□■◇◆×✕＊*＿_]{2,}(?!%)|"
    r"[〇○◯●△▲□■×✕](?:県|市|区|町|駅|店|円|年|人|様|社|さん|丁目|月[〇○◯●△▲□■×✕])|\{+[^}]{0,40}\}*|\[[^\]]{0,40}\]?|％s|%[sd]|\$\{|"
    r"[〔［＜【《(（](?:商品|店|店舗|会社|企業|屋号|サービス|地域|地名|都道府県|"
    r"市区町村|名前|氏名|お?名前|電話|住所|数字|金額|価格|年数|日付|要?入力|例|ここ|題材|業種|"
    r"キーワード|(?!若干|別|数|本)[一-鿿ァ-ヺー]{1,4}名)(?:名|番号|入力|に入力|を入力|してください)?[〕］＞】》)）]|〔|〕|"
    r"(?<![A-Za-z])XX+(?=サロン|クリニック|店|社|会社|院|様|市|区|町|駅|県)|"
    r"(?<![A-Za-z])(?:TODO|TBD|FIXME|XXX+|lorem|ipsum|null|undefined|N/A|string|placeholder|sample text)(?![A-Za-z])|"
    r"(?:ダミー|サンプル|仮の?)(?:テキスト|文章|文言)|ここに[^。]{0,12}(?:入|書|記載|挿入)|"
    r"(?:ABC|XYZ|xyz)(?:株式会社|商店|社|店)",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(
    r"\*\*|__|~~|`|\*[^*\s][^*\n]{0,30}\*|^\s*#{1,6}\s|^\s*[-*+•]\s|^\s*\d{1,2}[.)]\s|^\s*>\s|\]\(|^\s*\||\|\s*-{2,}|^-{3,}|^\s*#{2,}|(?:^|(?<=[、。]))＊[^＊]{1,30}＊(?!$)"
)
_ABOUT_LENGTH = re.compile(
    r"[0-9]+\s*(?:〜|~|-|–|から)\s*[0-9]+\s*(?:文字|字)|[0-9]+\s*(?:文字|字)(?:以内|以下|程度|前後)|句点なし|JSON(?!の読み|を(?:扱|学)|データ)|スキーマ|schema|"
    r"プロンプト(?!の(?:書き方|作り方|基本)|を(?:学|書|工夫)|エンジニア)|文字数[:：]|(?:指定|規定)(?:された|の)文字数|"
    r"[（(［【](?:(?:以下|以降|以後|後|中|残りは?)?(?:略|省略)|以下、?同様)[）)］】]|以下(?:略|省略)",
    re.IGNORECASE,
)
_AS_A_MODEL = re.compile(
    r"(?:AI|言語モデル|アシスタント)(?:として(?=[、はお私回答])|である私|(?:のため|なので)、[^。]{0,30}(?:でき(?:ません|かね)|(?:わか|分か|判断|お?答え)[^。]{0,3}ません|かねます))|申し訳(?:ありません|ございません)が、?(?:その|この|ご)?(?:リクエスト|要求|依頼|ご要望)|"
    r"(?:キャッチコピー|リード文|見出し|回答|質問|説明)(?:の)?(?:例|案)?[:：]|^(?:タイトル|サブタイトル|小見出し|本文|リード|キャッチ|ボタン|説明文?)[:：]|以下(?:の|に)(?:とおり|通り)?[^。、]{0,8}(?:JSON|コピー|文章を作成|出力|生成し)"
)
# A shop also says what it cannot do: it names a kind of work, a model this request. So each rule needs such a reference
# (この依頼), a sentence without anything else, or the reason of a provider before ため.
_CANNOT = (
    "(?:する|いたす)?(?:こと)?[がはをも]?(?:お?引き受け)?(?:でき(?:ません|かね|ない(?:ため|ので))|(?:いた|致)?しかね|[らけえれ]れ?ません|"
    "お断り(?:し(?:ます|てい|たく)|いた(?:します|して)|させてい?)|(?:差し)?控え(?:ます|させ)|適切では?ありません)"
    "(?![^。、]{0,10}(?:こと|場合)|[」、。]*(?:と|で(?:は|終わ)|(?:ほかで|他社で)?(?:そんな|そう|こう)|か(?:[、。？」]|$)))"
)
_MAKE = "(?:作成|生成|執筆|出力)"
_WRITE = f"(?:{_MAKE}|お?作り?|記載|ご?提供|書く?|考える|使用)"
_ANSWER = "(?:お?答え|お?応え|応じる?|従う?|対応|お?手伝い|回答|コメント|お?引き受け|処理|実行)"
_THIS = (
    "(?:(?:こ(?!のため)|そ)の|今回の|(?<=[このそ]のよ)うな|(?<=のよ)うな(?=[^。]{0,9}(?:ご?(?:依頼|要望|質問)|リクエスト))|"
    "提示の|指定の|(?:要望|希望)(?:に沿った|の)|いただいた)"
)
_COPY = "(?:(?<=キャッチ)|(?<=業種の)|(?<=希望の)|(?<=、))コピー"
_TEXT = f"(?:文章|文言|[広告紹介説明]{{2}}文|見出し|コンテンツ|表現|{_COPY})"
_REQUEST = "(?:依頼|リクエスト|要[望求]|質問|内容|題材|件|テーマ|トピック|指示)"
_REFUSAL = re.compile(
    f"{_THIS}(?:(?!(?:ず|に|ば|ないと)、)[^。]){{0,14}}{_TEXT}[をはの]?{_WRITE}{_CANNOT}|(?:勧める|含む|、)文章[をは]{_MAKE}{_CANNOT}|(?:(?:内容|文章?|コンテンツ|コピー|回答)[をは]|ため、?)生成{_CANNOT}|"
    f"に関する(?:広告|文章)[をは](?:{_MAKE}|お?作り){_CANNOT}|リクエスト[をは]処理{_CANNOT}|"
    f"(?:{_THIS}ご?(?:分野の)?|(?:^|が、)ご){_REQUEST}(?:の内容)?(?:に(?:関して|つ[いき]て)?は?|は|を)、?"
    f"(?:(?:安全のため)?(?:{_ANSWER}|{_WRITE})|(?=お断り)){_CANNOT}|"
    "(?:(?:ポリシー|ガイドライン|規約|公序良俗|法令)に(?:反|違反|抵触|より)|ポリシー上|倫理的な理由|(?:不適切|有害|違法|差別的)な(?:内容|語|表現)|中傷に|"
    "正確な情報を含|情報が(?:ない|不足|含まれ))"
    f"[^。、]{{0,12}}(?:ため|により|より|ので|から)、?(?:[^。、]{{1,5}}[をは])?(?:{_MAKE}|記載|書く?|回答|お?応え|お?答え|お?手伝い)[をは]?{_CANNOT}|"
    "(?:当社の|コンテンツ|利用)ポリシーに(?:違反|反|抵触)し?(?:ます|ています)|"
    f"^(?:{_MAKE}|(?:申し訳[^。、]{{0,10}}[。、]|すみません[。、]|恐れ入りますが、)?(?:お?答え|お?応え|お?手伝い|回答|生成)){_CANNOT}[^。]{{0,5}}。?$|"
    "お力になれず申し訳|ません。別の(?:題材|テーマ|質問|リクエスト|内容)を(?:どうぞ|お試し|ご指定|お知らせ)"
)
_PAIRS = (("「", "」"), ("『", "』"), ("【", "】"), ("（(", "）)"))
_OPENING = re.compile("[「『【（(]")
_COUNT = re.compile(
    r"(?:[（(［【]|[。※])(全角)?(?:全|半角|約)?([0-9]{2,3}) ?(?:文?字|characters?)(?:です)?[）)］】]?。?$"
)
_LETTERS = re.compile("[名字言文書彫刻刺]|句を|短歌|標語|ひとこと|メッセージ")


def wrong_language(text: str) -> str | None:
    """Return the reason in Japanese why the text may not be published as Japanese copy, or None."""
    bare = _SLOTS.sub("", plain(text))
    if (other := _not_japanese(bare)) is not None:
        return other
    if bare.rstrip("。") in _descriptions():
        return f"「{bare[:20]}」：スキーマの説明をそのまま書いています"
    if "\\" in bare or (_OPENING.search(bare) and any(_count(bare, one) > _count(bare, two) for one, two in _PAIRS)):
        return f"「{bare[:20]}」：「\\」や、閉じていないかっこがあります"
    if _UNUSUAL.search(bare) is None:
        return None
    if _counts_itself(bare):
        return f"「{bare[-20:]}」：文字数を書いています"
    for pattern, reason in (
        (_PLACEHOLDER, "仮の文字（〇〇、[ ]、{ } など）が残っています"),
        (_MARKDOWN, "Markdownは使えません"),
        (_ABOUT_LENGTH, "文字数の指示やスキーマの説明を書いています"),
        (_AS_A_MODEL, "ページの文章ではなく、指示への返事です"),
        (_REFUSAL, "ページの文章ではなく、指示への返事です"),
    ):
        if (match := pattern.search(bare)) is not None:
            return f"「{match[0].strip()[:20]}」：{reason}"
    return None


def _counts_itself(text: str) -> bool:
    """Return whether a text ends with the number of its letters. 課題は作文（400字） and 名入れ（10文字） do not."""
    if (match := _COUNT.search(text)) is None:
        return False
    before = text[: match.start() + 1].rstrip("（([［【※ ")
    return match[1] is not None or (_LETTERS.search(before) is None and 0.7 <= len(before) / int(match[2]) <= 1.3)


def _count(text: str, letters: str) -> int:
    return sum(map(text.count, letters))


def _not_japanese(text: str) -> str | None:
    if (hangul := _HANGUL.search(text)) or (hangul := _OTHER_SCRIPT.search(text)):
        return f"「{hangul[0]}」：日本語で書いてください"
    if foreign := _only_chinese().search(text):
        return f"「{foreign[0]}」：日本語にない文字です"
    letters = len(_LETTER.findall(text))
    kana = len(_KANA.findall(text))
    latin_only = letters >= WORD and not kana and _HAN.search(text) is None
    if not kana and (latin_only or len(_LATIN_WORD.findall(text)) >= WORDS or _TRADITIONAL.search(text)):
        return "日本語で書いてください"
    if letters >= SENTENCE and kana < LEAST_KANA * letters:
        return "日本語の文章で書いてください（かなが少なすぎます）"
    return None


@cache
def _only_chinese() -> re.Pattern[str]:
    """Return a pattern for letters of the Chinese character sets that the Japanese set lacks."""
    han = map(chr, range(0x3400, 0xA000))
    foreign = (letter for letter in han if not _in_set(letter, "cp932") and letter not in COMMON_VARIANTS)
    return re.compile(
        f"[{''.join(letter for letter in foreign if _in_set(letter, 'gb2312') or _in_set(letter, 'big5'))}]"
    )


def _in_set(letter: str, name: str) -> bool:
    try:
        letter.encode(name)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _descriptions() -> frozenset[str]:
    """Return the descriptions that the schema gives to a model."""
    models = [(section.holds, "validation") for section in SECTIONS if section.filler is Filler.MODEL]
    _, schema = models_json_schema(models)  # type: ignore[arg-type]
    texts = [text for path, text in walk(schema) if path.endswith("description")]
    parts = (part for text in texts for part in (text, *text.split("。")))
    return frozenset(plain(part).rstrip("。") for part in parts) - {""}
