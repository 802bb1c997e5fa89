"""The studio's texts about autopilot, in English and Japanese."""

from processors.pictures.words import Pairs

PAIRS: Pairs = {
    "pilot": ("Autopilot", "自動改善"),
    "pilot_on": ("On", "オン"),
    "pilot_off": ("Off", "オフ"),
    "pilot_lead": (
        "Autopilot looks for places where visitors meet a difficulty, makes at most one variant a week, and tests "
        "it against the page. The proven winner becomes the page.",
        "訪問者がつまずいている場所を見つけ、別案を週に1つまで作り、元のページと比べるテストをします。"
        "差がはっきりした案がそのページになります。",
    ),
    "pilot_approval": (
        "A person must approve each variant before visitors see it",
        "訪問者に表示する前に、別案ごとに人が承認する",
    ),
    "pilot_switch_on": ("Switch autopilot on", "自動改善をオンにする"),
    "pilot_change": ("Change or switch off …", "設定を変える・オフにする…"),
    "pilot_keep": ("Save", "設定を保存"),
    "pilot_switch_off": ("Switch autopilot off", "自動改善をオフにする"),
    "pilot_off_lead": (
        "No more variants are made. If autopilot has a test running, the test ends and all visitors see the page "
        "itself.",
        "別案を作らなくなります。自動改善のテストが実施中なら終了し、すべての訪問者に元のページを表示します。",
    ),
    "pilot_step_watching": ("Looking for a finding", "改善点を探しています"),
    "pilot_step_asked": ("A variant is being made", "別案を作成しています"),
    "pilot_step_waiting_approval": ("A variant waits for approval", "別案が承認を待っています"),
    "pilot_step_ready": ("The test of the variant is about to start", "別案のテストを準備しています"),
    "pilot_step_testing": ("The variant is being tested", "別案をテストしています"),
    "pilot_step_resting": ("Resting for a week", "1週間休んでいます"),
    "pilot_since": ("since {at}", "{at}から"),
    "pilot_finding": ("Why this variant", "この別案を作った理由"),
    "pilot_preview": ("See the variant", "別案を見る"),
    "pilot_ask_lead": (
        "If you approve, some visitors see the variant in a test. "
        "If you reject it, nobody sees it, and autopilot rests for a week.",
        "承認すると、テストで一部の訪問者に別案を表示します。却下すると、この別案は表示せず、自動改善は1週間休みます。",
    ),
    "pilot_approve": ("Approve and test", "承認してテストする"),
    "pilot_reject": ("Reject", "却下する"),
    "pilot_waiting": (
        "Your order is being carried out. This takes a few seconds; the page reloads by itself.",
        "処理しています。数秒かかります。画面は自動で更新されます。",
    ),
    "pilot_waits": ("Waits for approval", "承認待ち"),
    "pilot_waits_lead": ("Variants wait for approval", "別案が承認を待っています"),
    "pilot_error_page": (
        "This page is not published, so autopilot cannot be switched on.",
        "このページは公開されていないため、自動改善をオンにできません。",
    ),
    "pilot_error_none": (
        "This variant does not wait for approval any more. See below where autopilot stands.",
        "この別案は、もう承認を待っていません。下の「自動改善」で現在の状況をご確認ください。",
    ),
    "pilot_error_changed": (
        "Nothing was changed: another order to autopilot came after you had opened this page. The state now is below.",
        "何も変更していません。画面を開いたあとに、自動改善に別の操作がありました。下で現在の状況をご確認ください。",
    ),
    "test_late": (
        "Your order was not carried out within two minutes: "
        "the optimizer may be down, or another order came after it. Ask your operator. "
        "When the optimizer works again, it carries the order out.",
        "2分たっても処理されていません。処理が止まっているか、その後に別の操作がありました。"
        "管理者にお知らせください。動き出せば、この操作は自動で行われます。",
    ),
}
