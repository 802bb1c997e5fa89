"""Recognise words that deny a claim, such as "…をお約束するものではありません".

The text is in the form for comparisons, with hiragana in place of katakana.
"""

import re

AFTER, BEFORE = 60, 10
MEDICINE = ("effect", "forbidden")  # the kinds of rules that bound claims of medicine

# after a claim, words that take it back: "…をお約束するものではありません"
_TAKEN_BACK = re.compile(
    r"^(?:等|など)?(?:に(?:ついて|関して|関する|つきまして)|の(?:有無|条件|可否)|(?:る|れる|せる)?かどうか|(?:でしょう|です)か|は(?:あり|でき)ますか)|"
    r"^(?:の[^。、\n]{0,8}|(?:や|・|、)[^。、\n]{1,6})?(?:は|を|も)(?:一切|いっさい)?(?:行|おこな|し|致し|いたし|取り扱|扱)(?:って|い|わ)?(?:ません|おりません|いません|ない)|"
    r"^(?:の[^。、\n]{0,8})?では(?:な(?:い|く|か)|ありません|ございません)|^[^。\n]{0,24}?(?:(?:わけ|もの|こと|ところ|場所|場|施設|目的|訳|物|の(?:食|商)品|[うくぐすつぬぶむるた](?:食品|商品|製品|施術))で(?:は|も)(?:な|ありません|ございません)|とは(?:限|言え|いえ|言い切|言いき|いいき|申し上げ|申せ|考えて(?:い|お))|"
    r"とは限ら|(?:と|を|は|る)(?:お)?(?:断定|断言|保証|約束)(?:する|いたす)?(?:こと)?(?:は|が|も)?(?:でき|いたし|し)(?:ません|かね|ない)|"
    r"(?:病気|症状|方|人|もの|こと|結果)?ばかりで(?:は)?(?:な|あり))"
)
# after a claim, words that speak of it: "最安値の比べ方", "日本一の意味"
_DISCUSSED = re.compile(
    r"^」?(?:という(?:言葉|表示|広告))?の(?:比べ方|調べ方|見分け方|見極め方|見方|見つけ方|探し方|確かめ方|疑い方|意味|定義|落とし穴|注意点)(?!で)"
)
# words that claim only by their negation: "右に出る店はありません"
_UNRIVALLED = re.compile("^右に出る")
# after a noun, its denial: "永久脱毛ではありません"; after 絶対に it would be a promise
_DENIED_NOUN = re.compile(r"^(?:な|の)?[^。、\nをがは]{0,8}?で(?:は)?(?:な(?:い|く)|ありません|ございません)(?!か)")
# but these add to a claim: "無料だけではありません", "10kg減も夢ではありません"
_NO_DENIAL = re.compile(
    "(?:だけ|のみ|ばかり|夢|嘘|うそ|過言|だて|伊達|冗談|大げさ|誇張|無理|不可能|まぐれ|偶然|例外|他人事|人ごと)で"
)
# after a noun, the denial of its offer: "返金には応じられません", "半額になる日はありません", "完全な自動化を目指さず"
_NOT_OFFERED = re.compile(
    r"^((?:の[^。、\n]{1,8}|という(?:言葉|表現))?)(?:は|には?|に(?:なる|する)(?:日|こと|場合)は|を|も|が)(?:一切|いっさい|特に|現在)?(?:目的に)?"
    r"(?:あり|ござい|し|いたし|致し|(?:して|行って|受け付けて|扱って|用意して|設けて)(?:い|おり)|応じ(?:られ|かね|て(?:い|おり))|"
    r"受けられ|お受けでき|でき|なり|頼り|うたい|名乗り)(?:ません|ない)(?!か)|"
    r"^で(?:は)?(?:お受け|対応|ご?利用|お使い)?(?:でき|いただけ)(?:ない|ません)(?!か)|"
    r"^[^。、\n]{0,2}」?、?という(?:言い方|言いかた|呼び方|ほめ方|書き方|うたい文句|売り文句|宣伝|看板)(?:は|を)(?:決して)?(?:し|いたし|使い|使って(?:い|お)り?|掲げ|出し)(?:ません|ない)|"
    r"^を(?:うたう|名乗る|売りにする)(?:こと)?(?:は|を)?(?:しません|ありません|いたしません)|^[^。、\n]{1,14}は存在しません|"
    r"^[^。、\n]{0,8}(?:を(?:目指さ|求め|追わ|競わ|狙わ|うたわ)|に(?:こだわら|とらわれ))(?:ず|ない|なく|ません|過ぎ|すぎ)|"
    r"^[^。、\n]{0,6}(?:う|る)と(?:は)?、?(?:焦ら|あせら|急が|思わ|考え|無理を?し)(?:ず|ない|なくて)|"
    r"^[^。、\n]{0,6}、?」?という(?:言葉|表現|用語)(?:の(?:意味|由来)|を(?:使わ|使い|疑|学)|に(?:頼|ついて|慌て|あわて|惑わ|焦|急か|踊ら|つられ|飛びつ|縛ら|とらわれ))|"
    r"^[^。、\n]{0,12}(?:を(?:探す|選ぶ|目指す|求める)|にこだわる)より"
)
# the advice to see a doctor
_SEE_A_DOCTOR = re.compile(
    r"^[^。\n]{0,14}(?:医師|薬剤師|医療機関|病院|主治医|かかりつけ医|専門医)(?:に|へ|で)(?:[^。、\n]{0,4})?"
    r"(?:ご?相談|受診|お尋ね|お聞き|受けて|診て)[^。\n]{0,8}(?:ください|下さい|願い|ましょう)"
)
# "絶対に勝てる裁判はありません"
_NO_SUCH_THING = re.compile(
    r"(?:絶対に?|必ず|確実に|100%)(?:勝|治|儲|もうか|合格|成功|痩|やせ|効|売れ|受か|直)[^。、\n]{0,12}"
    r"(?:は|など)、?(?:あり|ござい|い)(?:ません|ない)(?!か)"
)
# after 保証 or 約束, their denial
_NOT_PROMISED = re.compile(
    r"^(?:する|いたす)?(?:こと|もの)?(?:は|が|も)?(?:でき|いたし|し)(?:て(?:い|お))?(?:ません|りません|かね|ない)"
)
# after a fact, words that only speak of it: "返金の条件", "受賞を目指す"
_SPOKEN_OF = re.compile(
    r"^(?:や|・|と)[^。、\n]{1,6}の(?:条件|有無|可否|手続|方法)|^の(?:[^。、\n]{1,12}の違い|お知らせ(?:の|を)(?:印刷|作|書))|^(?:(?:引?き)?の(?:範囲|条件|有無|可否|ご?希望|対象|手続|定義|意味|計算|問題|仕組み|考え方|違い)|"
    r"を(?:ご)?(?:目指|めざ|希望|検討|お考え|待|夢見)|のため、?お断り|で(?:は)?(?:受け付ける|決まる|ある)か|が気になる|かわから|(?:した|を取った|に輝いた)(?:日|とき|方|記念|作品を飾))"
)
# after a fact, words that say it is not so: "個室はご用意しておりません"
_NOT_SO = re.compile(
    r"(?:[^。、\n]{0,3}?(?:は|も|を|が|に))?[^。、\nはがもを]{0,8}?"
    r"(?:て(?:い|おり)|(?<=て)(?:い|おり)|(?<=てお)り|(?<=ており)|(?<=てい)|おり|でき|いただけ|くはあり)(?:ません|ない(?:ため|ので|$|。))(?!か)"
)
_KEPT_UP = re.compile("変え|変わ|休|値上げ|閉め|一度|一日|以来")  # "創業以来、味を変えておりません"
# a question asks for a fact: "返品はできますか"; but "なぜ無料なのですか" states it
_ASKED = re.compile(r"(?:[^。\n?]{0,16}?(?:ます|(?<!の)です|(?<!の)でしょう)|(?<=ます|です))か(?:$|[。?\n」])")
_NOT_ASKED = re.compile("なぜ|どうして|存じ|いかが|知って")
# "必ず増えるお金の話は疑いましょう", "一位になることより、続けること", "完全に元通りにはならないこともあります"
_WARNED_OF = re.compile(
    r"^[^。\n]{0,20}?(?:に(?:は)?、?(?:くれぐれも|十分|どうぞ|よく)?(?:ご|お)?(?:注意|用心|警戒|気をつけ)(?:くだ|を|し|て)|(?:を|は)?疑(?:い|って|う)|に(?:惑わ|急か|踊ら|だま|騙)され(?:ない|ず)|"
    r"すぎない(?:で)?(?:くだ|よう))|"
    r"^(?:が|を|の)?[^。、\n]{0,4}(?:対象|目的|適応)(?:と(?:は)?して(?:い|お)り?ません|で(?:は)?(?:あり|ござ)|にはな)|"
    r"^[^。\n]{0,20}?(?:は|と)(?:は)?、?(?:別の(?:話|もの|こと|問題)|別物)|"
    r"^(?:同じ|完全|元どおり|元通り|一致)?には(?:なり|いき|でき)ません|^」?、?という(?:方|人|お悩み)(?:も|に|は)|"
    r"^[^。\n]{0,16}」という(?:疑問|ご?質問|お悩み|ご?不安)(?:に|も|へ)|^[^。、\n]{0,6}」と(?:迫|急か|あお|うた)|"
    r"^[^。\n]{0,16}?は、?[^。\n]{0,8}(?:負担がかか|(?:おすすめ|お勧め)(?:し|でき|いたし)ません|避けて(?:くだ|いただ))|"
    r"^で?(?:は)?、?(?:決め|選ば|判断(?:せ|し))(?:ず|ない|ません)|"
    r"^」?という(?:言葉|表現|用語|表示|広告)(?:は|が|を)[^。\n]{0,16}(?:禁じ|使え(?:ない|ません)|疑|注意|認められ(?:て(?:い|お))?(?:ない|ません))|"
    r"^[^。、\n]{0,8}だけで(?:は)?、?(?:決め|選ば|選び|比べ|比較(?:せ|し)|判断(?:せ|し)|飛びつか)(?:ず|ない|ません)|^を(?:手放|やめ|捨て)[すたるて]|"
    r"^[^。、\n]{1,14}[うくぐすつぬぶむる]より(?:も)?、|"
    r"^(?:に|と)(?:見え|思え|うた)る|^と(?:書かれ|書いて|うたわれ|言われ|いわれ|表示され)[^。、\n]{0,8}(?:ほど|でも|とき|場合|には)|^(?:な|の)[^。、\n]{1,6}(?:に|を)は?(?:こだわり|求め|目指し|うたい|追い)ません|"
    r"^(?:に|を|で)?(?:なる|する|取る|目指す|こだわる|る)(?:こと)?より(?:も)?、|^(?:に|を)(?:なる|取る)(?:こと)?より|"
    r"^(?:な|の)[^。、\n]{1,8}より(?:も)?、(?![^。\n]{0,10}(?:安|早|速|優|おいし|美味|高|丈夫))|^[^。、\n]{0,8}を(?:語る|うたう|言う|目指す)前に|"
    r"^[^。\n]{0,12}?(?:が|は)(?:難し|むずかし)[^。、\n]{0,2}(?:場合|こと|とき|方)|"
    r"^[^。\n]{0,16}?(?:ない|なかった)(?:こと|場合|とき|の|[一-鿿]{1,3})(?:も|が)(?:あ|ござ|出)"
)
# "永久に使える家はありません", "菌を完全になくすことはできません"
_NO_SUCH = re.compile(
    r"^(?:([^。\n]{0,16}?(?:こと|もの|[一-鿿]{1,4}))(?:は|も|など)、?(?:なかなか|めったに|まず|まだ|一つも|どこにも)?(?:(?:あり|ござい|い|おり|存在し)ません|ない(?:$|。|ため|ので|から))|"
    r"([^。\n]{0,16}?)(?:こと|の)(?:は|が|も)?(?:でき|出来)(?:ません|ない))(?!か)"
)
_WITHOUT = re.compile(r"^な([一-鿿]{1,4})(?:の|が)ない")
# but the denial of these is a claim: "失敗することはありません", "これほど…はありません"
_DENIED_ILL = re.compile(
    "失敗|損|痛|危険|りすく|後悔|副作用|再発|りばうんど|負|断|心配|不安|ぜろ|なし|ない|ません|超|劣|壊|色あせ|枯|漏|故障|追加|手数料|費用|料金|譲|明け渡|落ち|"
    "下回|途切|絶え|切らし|裏切|欠|妥協|待た|迷|困|疲|飽|遅|残|右に出|かなう|敵|並ぶ|他|ほか|以上|真似|まね|味わ|手に入|買え|得られ|見られ|体験|ほど|くらい|こんな|より"
)
# an aim is no promise: "ミスのない作業を心がけています"
_AIMED_AT = re.compile(r"^[^。、\n]{0,8}(?:を|に)(?:心が|心掛|目指し|めざし)")
# "これほど失敗のない塾はありません" compares
_SO_MUCH = re.compile("(?:これ|それ|あれ|ここまで)ほど|こんな|ここまで")
# words for the end of an ill; their denial is no claim: "痛みがゼロになる治療はありません"
_GONE = re.compile("ぜろ|なくなる|消える|[のが](?:一切)?ない.$")


def takes_back(text: str, start: int, end: int, kind: str) -> bool:
    """Return whether the words after a claim deny the claim, warn of it or only mention it."""
    after = text[end : end + AFTER]
    if _UNRIVALLED.match(text[start:end]):
        return False
    if _TAKEN_BACK.match(after) or _WARNED_OF.match(after) or _DISCUSSED.match(after):
        return True
    before = text[max(0, start - BEFORE) : start]
    refused = _NOT_OFFERED.match(after)
    if refused and not _DENIED_ILL.search(refused[1] or "") and not _SO_MUCH.search(before):
        return True
    if kind == "fact" and _is_no_fact(text, start, end):
        return True
    if (kind == "fact" and _SPOKEN_OF.match(after)) or (kind in MEDICINE and _SEE_A_DOCTOR.match(after)):
        return True
    if _NO_SUCH_THING.match(text, start) or (kind == "superlative" and _AIMED_AT.match(after)):
        return True
    if text[start:end].endswith(("保証", "約束")) and _NOT_PROMISED.match(after):
        return True
    if text[end - 1] not in "にず" and (denied := _DENIED_NOUN.match(after)) and not _NO_DENIAL.search(denied[0]):
        return True
    claim = before if _GONE.search(text[start:end]) else before + text[start:end]
    nothing = (_NO_SUCH.match(after) or _WITHOUT.match(after)) if kind != "comparison" else None
    ill = "".join(filter(None, nothing.groups())) if nothing else ""
    return nothing is not None and not _DENIED_ILL.search(claim + ill)


def _is_no_fact(text: str, start: int, end: int) -> bool:
    """Return whether the words after a fact deny the fact or make it a question."""
    denied, asked = _NOT_SO.match(text, end), _ASKED.match(text, end)
    if denied and not _DENIED_ILL.search(denied[0][:-3]) and not _KEPT_UP.search(denied[0]):
        return True
    return asked is not None and not _NOT_ASKED.search(text[max(0, start - BEFORE) : start] + asked[0])
