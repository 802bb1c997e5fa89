"""Autopilot as the studio shows it: its reasons in Japanese, and the subject of a finding."""

import re
from typing import get_args

from processors.findings.looks import Kind
from processors.findings.words import section_name
from processors.pictures.words import Language
from processors.studio import experiment_words, map_words
from processors.studio.parts import IN_PAGES
from schemas.generation import Change

# the beginning of a variant's `differs`, and the words for the part that differs
DIFFERENCES = {
    "text of": "文章", "order of": "順番", "design": "デザイン", "words of": "ボタンの言葉", "calls to": "ボタンの場所",
}  # fmt: skip
CHANGED = {change: experiment_words.PAIRS[f"change_{change}"][1] for change in get_args(Change)}
RESTS = "自動改善は1週間休みます。"
_REST = "autopilot rests for a week"
# autopilot's reasons, in the order in which they are tried
REASONS: tuple[tuple[str, str], ...] = (
    (r"autopilot is on", "自動改善をオンにしました。"),
    (r"a person has switched autopilot off", "手動でオフにしました。"),
    (r"the page is not published any more, so autopilot is off", "ページの公開が終わったため、オフにしました。"),
    (r"(?:approve|reject): no variant waits for approval", "操作した時点で、承認を待つ別案はありませんでした。"),
    (r"a person has approved the variant", "別案が承認されました。まもなくテストを始めます。"),
    (rf"a person has rejected the variant; {_REST}", f"別案は却下されました。{RESTS}"),
    (r"waits for experiment \S+, which runs on the page", "このページで実施中のテストが終わるのを待っています。"),
    (
        r"waits for the experiment on (?P<page>\S+), of which the page is an arm",
        "このページを使っている {page} のテストが終わるのを待っています。",
    ),
    (
        r"(?P<n>\d+) variants were asked for within a week; autopilot waits",
        "この1週間に別案を{n}回依頼したため、次の依頼を待っています。",
    ),
    (r"the tenant has asked for as many variants .*", "今週作れる別案の数に達したため、次の依頼を待っています。"),
    (
        r"each finding was tried; autopilot waits for another",
        "改善点は試し終えました。次の改善点を待っています。",
    ),
    (
        r"no finding is certain yet; autopilot waits for more visits",
        "はっきりした改善点がまだありません。閲覧が増えるのを待っています。",
    ),
    *(
        (rf"asked for a variant \({change}\) because of .*", f"別案（{CHANGED[change]}）を依頼しました。")
        for change in get_args(Change)
    ),
    (
        r"no variant was made: .*; autopilot takes the next finding",
        "別案を作成できませんでした。次に進みます。",
    ),
    (rf"no variant was made: .*; {_REST}", f"別案を作成できませんでした。{RESTS}"),
    *(
        (rf"the variant is made: the {difference}\b.*", f"別案ができました（変えた点：{what}）。")
        for difference, what in DIFFERENCES.items()
    ),
    (r"the variant is made(; it waits for a person)?", "別案ができました。"),
    (r"no approval is needed any more", "承認は不要になりました。まもなくテストを始めます。"),
    (r"the experiment runs|an experiment tests the variant", "別案と元のページを比べるテストを実施中です。"),
    (rf"the variant's page is gone; {_REST}", f"別案のページがなくなりました。{RESTS}"),
    (r"the experiment cannot start: (?P<why>.*)", "テストをまだ始められません。{why}"),
    (rf"a person has replaced the experiment; {_REST}", f"別のテストに切り替わりました。{RESTS}"),
    (rf"the experiment has ended: (?P<why>.*); {_REST}", f"{{why}}{RESTS}"),
    (rf"the variant has won and is the page now; {_REST}", f"別案の成果が高く、そのページになりました。{RESTS}"),
    (rf"(?P<page>\S+) has won against the variant; {_REST}", f"別案よりも {{page}} の成果が高い結果でした。{RESTS}"),
    (r"a week is over; autopilot looks for a finding", "1週間たちました。次の改善点を探しています。"),
)
# a finding in a few words; its own sentence is in the language of the pages
FINDINGS: dict[Kind, str] = {
    "dead_clicks": "Clicks without effect",
    "rage_clicks": "Repeated clicks",
    "device_gap": "Visitors act less on this device",
    "section_left": "Many visitors leave",
    "first_view_without_call": "The first screen has no button that visitors use",
    "call_too_low": "The first button is too far down",
    "read_not_clicked": "Visitors read, and do not click",
    "sought_too_low": "Visitors look for a section that is far down",
    "attention_without_link": "Pointers rest where nothing can be clicked",
    "page_too_long": "Few visitors see the lower half",
}
_ABOUT = re.compile(r"(?P<kind>\w+) in (?P<section>[\w ]+) \((?P<device>\w+)\)")


def about(text: str, language: Language) -> str:
    """Return `AutopilotState.about` in words, in English only: the finding's own sentence is Japanese."""
    match = _ABOUT.fullmatch(text)
    if language != "en" or match is None or match["kind"] not in FINDINGS:
        return ""
    section, device = match["section"], match["device"]
    device = map_words.PAIRS.get(f"device_{device}", (device, device))[0]
    place = section if section == "the page" else section_name(IN_PAGES.get(section, section), language)
    return f"{FINDINGS[match['kind']]}: {place} ({device.lower()})."
