"""Promises in a page's words, and the fact that each needs.

A page without a telephone number does not ask for a call, and a page without an address does not show the way. A
Japanese reader can correct the table; the words of facts themselves (a given access, a voice) are not checked.
"""

import re
from collections.abc import Collection

from processors.text import plain

# a pattern, and the facts (or groups of facts) of which the page must have one
PROMISES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), needed)
    for pattern, needed in (
        (r"(?<!携帯)(?<!固定)電話(?!機|線|回線|代行|工事|応対|営業|勧誘|が苦手)|テレフォン|TEL", ("phone",)),
        (r"(?<![ァ-ヶー])フォーム(?![ァ-ヶー])|入力欄", ("form",)),
        (r"(?<![A-Za-z])LINE(?![A-Za-z])|(?<![ァ-ヶー])ライン(?:で|から)", ("line",)),
        (r"メール(?:で|から|にて)", ()),
        (r"(?:公式|Web|ウェブ)サイト|ホームページ", ("url",)),
        (r"お?問い?合(?:わ)?せ(?!の多い)|ご?連絡(?:く|下|を(?:お待|くだ))|ご返事|ご返信", ("contact",)),
        (r"お?申し?込み?(?:く|下|む|を受|の流れ)|お知らせ(?:く|下)|資料請求|ご応募", ("contact",)),
        (r"ご?予約(?:く|下|する|を(?:お待|承|受)|のとき|の際|の流れ|から)", ("reach",)),
        (r"(?:注文|購入|応募|相談)(?:する(?!内容)|に(?:す|進)む)|ご注文く|ご相談を(?:お待|承)", ("reach",)),
        # but not "医師にご相談ください"
        (r"(?<!医師[にへ])(?<!病院[にへ])(?<!機関[にへ])(?<!専門家に)ご相談く", ("reach",)),
        (
            r"(?:お店|店|サロン|教室|医院|事務所|事業所|会社|職場|園|宿|[式斎会霊]場|施設|お寺|工房|スタジオ)の場所|地図|道順|行き方",
            ("place",),
        ),
        (r"場所(?:を(?:見|ご覧|確か)|は、?このページ)", ("place",)),
        (r"最寄り?駅|徒歩(?!で(?:も|の))", ("place",)),
        (r"アクセス", ("place",)),
        (r"(?:営業|診療|受付)時間|営業日|定休日|診療日", ("hours",)),
        (
            r"(?:お品書き(?!は|が)|メニュー表|料金表|価格表|(?:料金|費用|価格)のご案内|コースと料金|商品と価格)",
            ("prices",),
        ),
        (r"(?:料金|費用|価格|メニュー)を(?:見|ご覧)", ("prices",)),
        (
            r"(?:お客様|ご利用者|受講された方|ご相談者|患者様|働く人)の声"
            r"(?!に(?:耳|応|お応|学)|を(?:大切|大事|聞|お聞|聴|伺|うかが|もと|反映|活|生か))|体験談",
            ("testimonials",),
        ),
        (r"有資格|国家資格|免許番号|登録番号|許可番号", ("licences",)),
    )
)


def unkept(text: str, facts: Collection[str]) -> str | None:
    """Return the first words that promise a thing that none of the facts gives, or None.

    `facts` are the names that `facts.known` returns.
    """
    words = plain(text)
    for pattern, needed in PROMISES:
        if not any(name in facts for name in needed) and (match := pattern.search(words)) is not None:
            return match[0]
    return None
