"""The rules for advertisements, read from `rules/*.toml`, with the law and guideline of each.

`rules/README.md` says in Japanese how to correct them.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from processors.pages.comparable import as_hiragana, squeezed
from processors.pages.first_characters import first_characters

_DIGIT, _JAPANESE_DIGIT = "0-9", "〇一二三四五六七八九十百千万億"
_REGIONS = (
    "日本|世界|全国|東日本|西日本|北日本|関東|関西|東海|中京|近畿|中部|九州|東北|四国|中国地方|山陰|山陽|北陸|信越|甲信越|首都圏|アジア|東洋|銀河|宇宙|天下|三国|当代|"
    "北海道|青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉|東京|神奈川|新潟|富山|石川|福井|山梨|長野|岐阜|静岡|愛知|三重|滋賀|京都|大阪|兵庫|奈良|和歌山|"
    "鳥取|島根|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄|札幌|仙台|横浜|川崎|名古屋|神戸|博多|金沢"
)
MACROS = {
    # a region
    "{REGION}": f"(?:{_REGIONS})",
    # a number
    "{N}": f"(?:(?<![{_DIGIT}{_JAPANESE_DIGIT}])[{_DIGIT}{_JAPANESE_DIGIT}数何][{_DIGIT}{_JAPANESE_DIGIT},.]{{0,11}}+)",
    # a number in Japanese numerals with a power of ten
    "{B}": f"(?:(?<![{_DIGIT}{_JAPANESE_DIGIT}])[二三四五六七八九]?[十百千万][{_JAPANESE_DIGIT}]{{0,9}}+(?:数|余|超)?)",
    # a thing that a shop has or a service that it offers
    "{AMENITY}": (
        "(?:駐車場|駐輪場|パーキング|個室|半個室|座敷|掘りごたつ|カウンター席|テラス席|ソファ席|キッズ(?:スペース|ルーム|メニュー|コーナー)|(?:専用|多目的)(?:スペース|ルーム)|授乳室|授乳スペース|おむつ替え(?:台|スペース)|ベビーベッド|"
        "wi-?fi|電源|コンセント|クレジットカード|各種カード|カード(?:払い|決済)|電子マネー|(?:qr|バーコード|キャッシュレス)(?:コード)?決済|キャッシュレス|paypay|交通系ic|分割払い|後払い|送迎(?:車|バス)?|託児(?:所|ルーム|サービス)?|"
        "エレベーター|スロープ|バリアフリー|車(?:いす|椅子)|待合室|更衣室|ロッカー|シャワー(?:室|ルーム)?|パウダールーム|喫煙(?:室|所)|自習室|振替(?:授業|レッスン)?|寮|ペット(?:同伴|連れ)|"
        "オンライン(?:相談|診療|授業|面談|レッスン|予約)|(?:在宅)?訪問(?:看護|施術|介護|診療|理美容|リハビリ)?|出張(?:見積もり|サービス|施術|査定|買取)?|往診|宅配|配達|持ち帰り|テイクアウト|飲み放題|食べ放題|貸し?切り?|誕生日特典|ポイント(?:カード)?|スタンプカード|会員制度|レンタル(?:品|用品)?)"
    ),
    # words which say that it exists
    "{HAS}": (
        "(?:が|は|も|を|に|の|で|や[^。、\\n]{1,8}(?:が|も|は)?)?(?:[^。、\\n]{0,5})?(?:あり(?:ます(?!か)|$|。|!)|ございます(?!か)|完備|(?:ご)?用意(?:し|が|あり)|設け(?:て|ま)|併設|備え(?:て|ま)|(?:使え|選べ)(?:ます(?!か)|る(?!か))|"
        "(?:ご)?利用(?:でき|いただけ|可)(?:ます(?!か)|る|$)?|お支払い(?:でき|いただけ)|対応(?:し(?:て|ま)|可|ok)|ok|可能(?!か|性)|可(?:$|。)|付き(?:です|の|$)|(?:も|を)承(?:り|って)|行って(?:い|お)(?:ます|り)|伺います|うかがいます)"
    ),
    # a part or a state of the body
    "{BODY}": (
        "(?:肌|素肌|髪|頭皮|毛根|毛穴|毛|まつ毛|まつげ|眉毛?|顔|フェイスライン|輪郭|あご|頬|ほほ|目元|口元|目|首|デコルテ|肩|腰|背中|二の腕|腕|お腹|おなか|下腹|"
        "ウエスト|くびれ|ヒップ|お尻|脚|足|太もも|ふくらはぎ|膝|ひざ|関節|軟骨|骨|骨盤|背骨|姿勢|血液|血管|血行|血流|リンパ|細胞|肌細胞|筋肉|筋力|内臓|腸|胃|肝臓|腎臓|脳|"
        "視力|聴力|歯|歯ぐき|爪|体|身体|からだ|体質|肌質|髪質|体型|体重|体脂肪|脂肪|ぜい肉|贅肉|皮下脂肪|体温|体調|睡眠|眠り|気分の落ち込み|ホルモン|o脚|x脚|ライン|ボディ|バスト|胸|身長)"
    ),
    # a change of the body that only medicine may claim
    "{CHANGE}": (
        "(?:変わ(?:り(?:ます|ました)|る(?!こ|と)|った)|変え(?:ます|る力|られ)|取り戻|とりもど|良くな|よくな|良くし|よくし|治|再生|回復|復活|細く|太く(?!見)|濃く|引き締ま|引き上が|上向き|若返|若々しくな|"
        "白く|消え(?!ない)|なくな(?:り|る|っ)|無くな|伸び(?:ます|た|る)|伸ば(?:し|す)|まっすぐ|すっきり(?!した(?:味|後味|香|デザイン))|スッキリ|スリム|小さく|小顔|軽く(?:なり|なる|なっ)|楽に(?:なり|なる|なっ)|"
        "強く(?:なり|なる|し(?:ます|て))|丈夫に|燃え|燃や|燃焼|落ち(?:ます|る|た)|減(?:り|る|ら|っ)|締ま|循環|活性|正常|蘇|よみがえ|修復|増え|生え(?!際|ぎわ|かけ|変)|育(?:ち|ちます|て(?:ます|る効果))|改善|解消|緩和|浄化|"
        "大きく(?:なり|なる)|ふっくら(?:し|な)|元に戻|生まれ変わ|生き返|整(?:い|います)(?:ます)?|安定(?:し|させ)|深く(?:なり|なる)|アップ(?:し|させ|$|。|、|!))"
    ),
    # a place or a market
    "{P}": (
        f"(?:国内|業界|地域|地元|史上|世の中|商圏|界隈|沿線|エリア|当地|この(?:街|町|地域|エリア|辺り|界隈|沿線|業界)|{_REGIONS}|"
        "(?:県|市|区|町|村|都|府|道|島|州|郡)(?:内|下|民)|(?<=[一-龥])(?:県|市|区|町)(?:内)?)"
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule: its words and patterns, innocent expressions, and the sources behind it.

    Words count between boundaries of words, patterns anywhere. No part of an innocent expression (`harmless`) counts.
    Each pattern has the characters with which a match can begin (None: any). With `given`, the customer's own words
    allow the expression, if they break the rule too. With `bare`, a mere noun of theirs does (個室).
    """

    name: str
    kind: str
    says: str
    law: str
    guideline: str
    page: str
    groups: frozenset[str] | None
    words: tuple[str, ...]
    patterns: tuple[tuple[re.Pattern[str], frozenset[str] | None], ...]
    harmless: re.Pattern[str] | None
    given: bool
    bare: bool

    @property
    def source(self) -> str:
        """The law, guideline and page behind the rule."""
        return f"{self.law}、{self.guideline} {self.page}"


Listed = tuple[re.Pattern[str], Rule]


@cache
def rules_of(groups: frozenset[str]) -> tuple[Rule, ...]:
    """Return the rules for a page of a trade with these groups, those for every trade last."""
    special = [rule for rule in every_rule() if rule.groups is not None and rule.groups & groups]
    return (*special, *(rule for rule in every_rule() if rule.groups is None))


@cache
def words_of(groups: frozenset[str]) -> dict[str, list[tuple[str, Rule]]]:
    """Return the words of these rules, with their rule, by their first two characters."""
    words: dict[str, list[tuple[str, Rule]]] = {}
    for rule in rules_of(groups):
        for word in rule.words:
            words.setdefault(word[:2], []).append((word, rule))
    return words


@cache
def patterns_of(groups: frozenset[str]) -> tuple[dict[str, list[Listed]], list[Listed]]:
    """Return the patterns of these rules by the first one or two characters of a match, and all others."""
    beginning: dict[str, list[Listed]] = {}
    others = []
    for rule in rules_of(groups):
        for pattern, first in rule.patterns:
            if first is None:
                others.append((pattern, rule))
            for start in first or ():
                beginning.setdefault(start, []).append((pattern, rule))
    return beginning, others


@cache
def every_rule() -> tuple[Rule, ...]:
    """Return all rules, in the order of their files' names."""
    folder = files("processors").joinpath("pages", "rules")
    texts = sorted((path.name, path.read_text("utf-8")) for path in folder.iterdir() if path.name.endswith(".toml"))
    return tuple(_rule(entry) for _, text in texts for entry in tomllib.loads(text)["rule"])


def _rule(entry: dict[str, object]) -> Rule:
    listed = {key: tuple(map(str, entry.get(key, ()))) for key in ("words", "patterns", "harmless", "groups")}  # type: ignore[call-overload]
    harmless = "|".join(map(_expanded, listed["harmless"]))
    return Rule(
        **{key: str(entry[key]) for key in ("name", "kind", "says", "law", "guideline", "page")},
        groups=frozenset(listed["groups"]) if listed["groups"] else None,
        words=tuple(dict.fromkeys(as_hiragana(squeezed(word)) for word in listed["words"])),
        patterns=tuple((re.compile(text), first_characters(text)) for text in map(_expanded, listed["patterns"])),
        harmless=re.compile(harmless) if harmless else None,
        given=bool(entry.get("given", False)),
        bare=bool(entry.get("bare", False)),
    )


def _expanded(pattern: str) -> str:
    for macro, meaning in MACROS.items():
        pattern = pattern.replace(macro, meaning)
    return as_hiragana(pattern)
