"""The texts on heatmap pictures, in English and Japanese."""

from typing import Literal

Language = Literal["en", "ja"]
Pairs = dict[str, tuple[str, str]]  # English and Japanese


def by_language(pairs: Pairs) -> dict[Language, dict[str, str]]:
    """Return the texts of each language by name."""
    return {
        "en": {name: text for name, (text, _) in pairs.items()},
        "ja": {name: text for name, (_, text) in pairs.items()},
    }


WORDS = by_language(
    {
        "click": ("Clicks", "クリック"),
        "dead": ("Clicks without effect", "反応のないクリック"),
        "rage": ("Repeated clicks", "連打"),
        "attention": ("Attention", "アテンション（注視）"),
        "scroll": ("Scroll reach", "スクロール到達率"),
        "mobile": ("mobile", "スマートフォン"),
        "tablet": ("tablet", "タブレット"),
        "desktop": ("desktop", "パソコン"),
        "counted_click": ("{total:,} clicks in {pageviews:,} pageviews", "{pageviews:,} 回の閲覧で {total:,} クリック"),
        "counted_dead": (
            "{total:,} clicks without effect in {pageviews:,} pageviews",
            "{pageviews:,} 回の閲覧で反応のないクリック {total:,} 回",
        ),
        "counted_rage": (
            "{total:,} repeated clicks in {pageviews:,} pageviews",
            "{pageviews:,} 回の閲覧で連打のクリック {total:,} 回",
        ),
        "counted_attention": (
            "{total:,} s of pointer rest in {pageviews:,} pageviews",
            "{pageviews:,} 回の閲覧でポインターが計 {total:,} 秒静止",
        ),
        "counted_scroll": ("{pageviews:,} pageviews", "{pageviews:,} 回の閲覧"),
        "nothing": ("There is no data for this time", "この期間の計測データはありません"),
        "hottest_clicks": ("100 % = {peak} clicks around one place", "100 % = 一か所に {peak} クリック"),
        "hottest_seconds": ("100 % = {peak} s of rest around one place", "100 % = 一か所に計 {peak} 秒"),
        "reached": ("Share of pageviews that came this far", "ここまで到達した閲覧の割合"),
        "readable_from": ("; earlier days than {day} are not complete", "。{day} より前の日は不完全"),
        "left": ("{percent} % reached this point", "{percent} % がここまで到達"),
        "fold": ("fold: half of the screens end near {px} px", "ファーストビュー：画面の半数は約 {px} px まで"),
        "fixed_layer": ("fixed targets: shown in the first view", "固定表示の要素は最初の画面に表示"),
        "cut": ("first {shown} of {height} px", "{height} px のうち上から {shown} px"),
        "no_shot_foreign": (
            "No screenshot of this page:\nlpstream did not publish it.",
            "ページの画像はありません。\nlpstream が公開したページではないためです。",
        ),
        "no_shot_browser": (
            "No screenshot of this page:\nthe server has no Chromium.",
            "ページの画像はありません。\nサーバーに Chromium がないためです。",
        ),
        "no_shot_late": (
            "No screenshot of this page yet:\ntry again in a minute.",
            "ページの画像を作成しています。\n1分ほどして開き直してください。",
        ),
        "no_shot_failed": (
            "No screenshot of this page:\nit failed, see the edge's log.",
            "ページの画像を作成できませんでした。\nエッジのログをご確認ください。",
        ),
    }
)
