"""The studio's texts about experiments and variants, in English and Japanese."""

from processors.pictures.words import Pairs

PAIRS: Pairs = {
    "test": ("A/B test", "A/Bテスト"),
    "test_running": ("A/B test running", "A/Bテスト実施中"),
    "test_of": ("A/B test of {name}", "{name} のA/Bテスト"),
    "test_status_running": ("Running", "実施中"),
    "test_status_decided": ("Decided", "勝者が決まりました"),
    "test_status_stopped": ("Ended without a winner", "勝者なしで終了"),
    "test_starting": (
        "The test is starting. This takes a few seconds; the page reloads by itself.",
        "テストを始めています。数秒かかります。画面は自動で更新されます。",
    ),
    "test_stopping": (
        "The test is ending. This takes a few seconds; the page reloads by itself.",
        "テストを終了しています。数秒かかります。画面は自動で更新されます。",
    ),
    "test_taking": (
        "The page itself comes back. This takes a few seconds; the page reloads by itself.",
        "元のページに戻しています。数秒かかります。画面は自動で更新されます。",
    ),
    "test_slow": (
        "If nothing changes within a minute, the optimizer may be down. Ask your operator.",
        "1分たっても変わらないときは、処理が止まっている可能性があります。管理者にお知らせください。",
    ),
    "test_refused": ("The test was not started", "テストを始められませんでした"),
    "test_since": ("Started", "開始"),
    "test_until": ("As of", "集計時点"),
    "test_counted": ("Pageviews counted", "集計した閲覧数"),
    "test_reason": ("Where it stands", "現在の状況"),
    "test_winner": ("Winner: {letter}", "勝者：{letter}"),
    "test_winner_lead": (
        "Visitors of this page now see {letter}.",
        "このページの訪問者には、今は「{letter}」を表示しています。",
    ),
    "test_fallback_lead": (
        "Visitors of this page see {letter}, which won an earlier test.",
        "このページの訪問者には、前のテストで勝った「{letter}」を表示しています。",
    ),
    "test_refresh": ("Show the newest state", "最新の状態を表示"),
    "test_stop": ("End the test …", "テストを終了する…"),
    "test_stop_lead": (
        "All visitors will see the page itself again. The numbers stay here. This cannot be undone.",
        "すべての訪問者に元のページを表示します。数値はここに残ります。この操作は取り消せません。",
    ),
    "test_stop_fallback": (
        "All visitors will see {letter}, which won an earlier test. The numbers stay here. This cannot be undone.",
        "すべての訪問者に、前のテストで勝った「{letter}」を表示します。数値はここに残ります。この操作は取り消せません。",
    ),
    "test_stop_do": ("End the test", "終了する"),
    "test_take_back": ("Take the winner back …", "勝者の表示をやめる…"),
    "test_take_back_lead": (
        "All visitors will see the page itself again, not the winner.",
        "すべての訪問者に、勝者ではなく元のページを表示します。",
    ),
    "test_take_back_do": ("Take the winner back", "元のページに戻す"),
    "test_no_page": (
        "lpstream did not make this page, so it cannot be tested here.",
        "lpstream で作成したページではないため、ここではテストできません。",
    ),
    "test_no_role": (
        "Your token may see tests, but not start them. It needs the role application or operator.",
        "このトークンではテストの閲覧だけができます。開始には application か operator の役割が必要です。",
    ),
    "test_is_variant": (
        "This is a variant. Start the test at the page that it is made from.",
        "これは別案です。テストは元のページから始めてください。",
    ),
    "test_is_arm": ("This page is part of another page's test.", "このページは、別のページのテストで使われています。"),
    "test_error_none": ("Choose at least one page to compare with.", "比べるページを1つ以上選んでください。"),
    "test_error_many": (
        "Choose at most five pages to compare with.",
        "比べるページは5件まで選べます。5件以下に減らしてください。",
    ),
    "test_error_busy": (
        "One of the pages is part of another test already, or this page has a test that runs. Open this page again.",
        "選んだページが別のテストで使われているか、このページのテストが実施中です。画面を開き直してください。",
    ),
    "test_error_changed": (
        "Nothing was changed: the test has another state than when you opened this page, or another order is being "
        "carried out. The state now is below.",
        "何も変更していません。画面を開いたあとにテストの状態が変わったか、別の操作を処理しています。"
        "下で現在の状況をご確認ください。",
    ),
    "test_error_arms": (
        "One of the pages cannot be used. Choose others.",
        "選んだページの中に、使えないものがあります。選び直してください。",
    ),
    "needed": ("About {visits} more pageviews until a decision.", "判定まで、あと約{visits}回の閲覧が必要です。"),
    "needed_unknown": (
        "It is not known yet how many pageviews a decision needs.",
        "判定に必要な閲覧数は、まだ見積もれません。",
    ),
    "needed_days": ("At this pace that is about {days} days.", "このペースで約{days}日です。"),
    "needed_hours": ("At this pace that is about {hours} hours.", "このペースで約{hours}時間です。"),
    "weights": ("Share of visitors over time", "配分の推移"),
    "weights_text": ("Share of visitors at the start and now: {shares}", "訪問者の配分（開始時と現在）：{shares}"),
    "weights_none": ("The shares appear here after the start.", "開始後に、ここへ配分の推移を表示します。"),
    "rates": ("Goals a pageview", "案ごとの成果率"),
    "rates_hint": (
        "The bar is where the true rate lies. Bars may overlap although one page is better: "
        "only the decision above compares the pages.",
        "棒は、本当の成果率がある範囲です。範囲が重なっていても差がある場合があります。"
        "案どうしの比較は「現在の状況」の判定を見てください。",
    ),
    "arm": ("Page", "案"),
    "arm_own": ("{letter} (the page itself)", "{letter}（元のページ）"),
    "arm_other": ("{letter}", "{letter}"),
    "weight": ("Share", "配分"),
    "rate": ("Rate", "成果率"),
    "rate_range": ("Between", "範囲"),
    "arm_maps": ("Heatmaps side by side", "ヒートマップを並べて見る"),
    "arm_maps_away": (
        "The maps cannot be made now. Open the page again in a moment.",
        "図を今は作成できません。しばらくしてから開き直してください。",
    ),
    "start_heading": ("Start a test", "テストを始める"),
    "start_again": ("Start another test", "次のテストを始める"),
    "start_lead": (
        "Visitors of this page see different pages at the same address. "
        "More visitors get the page that does better, and the proven one becomes the page.",
        "同じアドレスで、訪問者ごとに違うページを表示します。"
        "成果の多い案ほど多く表示し、差がはっきりした案がそのページになります。",
    ),
    "start_arms": ("Compare with (1 to 5)", "比べるページ（1〜5件）"),
    "start_search": ("Find a page by name or ID", "名前かIDで探す"),
    "start_none": (
        "There is no other page yet that can be compared. Make a variant or another page first.",
        "比べられるページがまだありません。別案か、別のページを先に作成してください。",
    ),
    "start_must": ("the page that visitors see now", "今、訪問者に表示しているページ"),
    "start_goals": ("What counts as a goal", "成果として数えるもの"),
    "goal_form": ("Form sent", "フォーム送信"),
    "goal_tel": ("Telephone", "電話"),
    "goal_mail": ("E-mail", "メール"),
    "goal_outbound": ("Link to another site", "外部サイトへのリンク"),
    "goal_custom": ("Goals of your own", "独自の成果"),
    "start_policy": ("How visitors are shared", "訪問者の分け方"),
    "policy_bandit": ("The better page gets more visitors (recommended)", "成果の多い案を多く表示（おすすめ）"),
    "policy_fixed": ("Always the same share", "常に同じ割合"),
    "start_do": ("Start the test", "テストを始める"),
    "variant": ("Variant", "別案"),
    "variant_of": ("Variant of {name}", "{name}（別案）"),
    "variant_make": ("Make a variant", "別案を作る"),
    "variant_heading": ("Make a variant", "別案を作る"),
    "variant_lead": (
        "One thing changes, the rest stays as it is. Nobody sees the variant until you start a test with it.",
        "1つの点だけを変え、ほかはそのままにします。テストを始めるまで、訪問者には表示されません。",
    ),
    "variant_change": ("What to change", "変えるもの"),
    "change_copy": ("Text", "文章"),
    "change_order": ("Order of sections", "順番"),
    "change_design": ("Design", "デザイン"),
    "change_call": ("Calls to action", "ボタン"),
    "variant_order": ("New order: {sections}", "新しい順番：{sections}"),
    "variant_sections": ("Where (optional)", "変える場所（任意）"),
    "variant_sections_hint": (
        "For text and calls to action. Without a choice the whole page may change.",
        "「文章」と「ボタン」で使います。選ばなければページ全体が対象です。",
    ),
    "variant_brief": ("Why, in your words (optional)", "変えたい理由や方向（任意）"),
    "variant_brief_hint": ("Up to 300 characters.", "300文字まで。"),
    "variant_do": ("Make the variant", "別案を作成する"),
    "variant_making": ("Your variant is being made", "別案を作成しています"),
    "variant_failed": ("The variant could not be made", "別案を作成できませんでした"),
    "variant_kept": ("Stored", "保存"),
    "variant_done": ("The variant is ready", "別案ができました"),
    "variant_unseen": ("Visitors do not see it yet.", "訪問者にはまだ表示されません。"),
    "variant_test": ("Test it against the page", "元のページとのテストを始める"),
    "variant_differs": ("Difference", "元のページとの違い"),
}
