"""The texts on heatmap pictures, in English and Japanese."""

from typing import Literal

Language = Literal["en", "ja"]

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "click": "Clicks",
        "attention": "Attention",
        "scroll": "Scroll reach",
        "mobile": "mobile",
        "tablet": "tablet",
        "desktop": "desktop",
        "counted_click": "{total:,} clicks in {pageviews:,} pageviews",
        "counted_attention": "{total:,} s of pointer rest in {pageviews:,} pageviews",
        "counted_scroll": "{pageviews:,} pageviews",
        "nothing": "There is no data for this time",
        "hottest_clicks": "100 % = {peak} clicks around one place",
        "hottest_seconds": "100 % = {peak} s of rest around one place",
        "reached": "Share of pageviews that saw this far",
        "left": "{percent} % reached this point",
        "fold": "fold: half of the screens end near {px} px",
        "fixed_layer": "fixed targets: shown in the first view",
        "cut": "first {shown} of {height} px",
        "no_shot_foreign": "No screenshot of this page:\nlpstream did not publish it.",
        "no_shot_browser": "No screenshot of this page:\nthe server has no Chromium.",
        "no_shot_late": "No screenshot of this page yet:\ntry again in a minute.",
        "no_shot_failed": "No screenshot of this page:\nit failed, see the edge's log.",
    },
    "ja": {
        "click": "クリック",
        "attention": "アテンション（注視）",
        "scroll": "スクロール到達率",
        "mobile": "スマートフォン",
        "tablet": "タブレット",
        "desktop": "パソコン",
        "counted_click": "{pageviews:,} 回の閲覧で {total:,} クリック",
        "counted_attention": "{pageviews:,} 回の閲覧でポインターが計 {total:,} 秒静止",
        "counted_scroll": "{pageviews:,} 回の閲覧",
        "nothing": "この期間の計測データはありません",
        "hottest_clicks": "100 % = 一か所に {peak} クリック",
        "hottest_seconds": "100 % = 一か所に計 {peak} 秒",
        "reached": "ここまで見た閲覧の割合",
        "left": "{percent} % がここまで到達",
        "fold": "ファーストビュー：画面の半数は約 {px} px まで",
        "fixed_layer": "固定表示の要素は最初の画面に表示",
        "cut": "{height} px のうち上から {shown} px",
        "no_shot_foreign": "ページの画像はありません。\nlpstream が公開したページではないためです。",
        "no_shot_browser": "ページの画像はありません。\nサーバーに Chromium がないためです。",
        "no_shot_late": "ページの画像を作成しています。\n1分ほどして開き直してください。",
        "no_shot_failed": "ページの画像を作成できませんでした。\nエッジのログをご確認ください。",
    },
}
