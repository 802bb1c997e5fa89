"""An experiment as the studio shows it: its reason in words, its numbers, the drawing of its weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from processors.pictures.words import Language
from processors.studio import autopilot
from schemas.experiments import MOST_ARMS, ExperimentState

LETTERS = "ABCDEF"[:MOST_ARMS]
DAY_S = 86_400
# the sizes of the drawing, in units of its view box; texts are 13 high
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, LINE_H = 420, 230, 44, 70, 10, 26, 15
Points = Sequence[tuple[int, Sequence[float]]]

# the optimizer's reasons, in the order in which they are tried; `arm` is an index
REASONS: tuple[tuple[str, str], ...] = (
    (r"the experiment has started; each arm gets the same share", "テストを始めました。どの案も同じ割合で表示します。"),
    (
        r"each arm needs (?P<n>\d+) pageviews before anything is said",
        "どの案も{n}回の閲覧がたまるまで、判定はしません。",
    ),
    (
        r"arm (?P<arm>\d+) has more goals a pageview than every other arm: "
        r"the chance of a wrong winner is at most (?P<alpha>[\d.]+%) over all looks",
        "「{arm}」の成果率が、ほかのどの案よりも高いと判定しました（誤って勝者を選ぶ確率は{alpha}以下）。",
    ),
    (
        r"arm (?P<arm>\d+) is expected to lose only (?P<loss>[\d.]+%) goals a pageview against the best arm",
        "「{arm}」を選んでも、失う成果は閲覧1回あたり{loss}にとどまる見込みです。",
    ),
    (
        r"arm (?P<arm>\d+) leads; the difference may still be chance",
        "今は「{arm}」が優勢ですが、まだ偶然の差かもしれません。",
    ),
    (
        r"arm (?P<arm>\d+) got (?P<share>[\d.]+%) of the pageviews, its weights explain (?P<plan>[\d.% to]+): .*",
        "「{arm}」の閲覧が全体の{share}で、配分から考えられる範囲（{plan}）を外れました。"
        "閲覧の一部が失われたか二重に数えられているため、成果率を信頼できません。",
    ),
    (
        r"arm (?P<arm>\d+) has many more dead clicks a pageview than the (?:control|earlier winner).*",
        "「{arm}」は、反応のないクリックがこれまでのページよりもはるかに多くなっています。ページを確かめてください。",
    ),
    (
        r"arm (?P<arm>\d+) has many more rage clicks a pageview than the (?:control|earlier winner).*",
        "「{arm}」は、連打のクリックがこれまでのページよりもはるかに多くなっています。ページを確かめてください。",
    ),
    (
        r"arm (?P<arm>\d+) has many more pageviews that end above half of the page without a goal a pageview than .*",
        "「{arm}」は、ページの半分より上で成果なく離れる閲覧がこれまでのページよりはるかに多くなっています。ページを確かめてください。",
    ),
    (r"stopped by a person; the earlier winner is the page again", "手動で終了しました。以前の勝者を表示しています。"),
    (r"stopped by a person.*", "手動で終了しました。元のページを表示しています。"),
    (
        r"stopped by autopilot: .*; the earlier winner is the page again",
        "自動改善が終了しました。以前の勝者を表示しています。",
    ),
    (r"stopped by autopilot: .*", "自動改善が終了しました。元のページを表示しています。"),
    (r"the earlier winner is the page again", "以前の勝者を表示しています。"),
    (
        r"no decision within (?P<days>\d+) days",
        "{days}日間で差がはっきりしなかったため、テストを終えました。",
    ),
    (r"replaced by experiment .*", "新しいテストに切り替わりました。"),
    (r"not started: (?P<why>.*)", "テストを始められませんでした。{why}"),
    (r"arms: (?P<page>\S+) is no page of tenant .*", "{page} は、このテナントのページではありません。"),
    (
        r"arms: (?P<page>\S+) is part of the experiment on (?P<other>\S+); stop that first",
        "{page} は {other} のテストで使われています。先にそのテストを終了してください。",
    ),
    (r"(?P<n>\d+) experiments run already; stop another first", "実施中のテストが上限（{n}件）に達しています。"),
    (r"stopped \((?:mismatch|guard)\): (?P<why>.*)", "テストを止めました。{why}"),
    (
        r"the decision waits (?P<days>[\d.]+) days more until a whole week is counted",
        "曜日による違いを含めるため、判定まであと{days}日待ちます。",
    ),
)
_REASONS = [(re.compile(pattern, re.DOTALL), text) for pattern, text in (*REASONS, *autopilot.REASONS)]


def reason(text: str, language: Language) -> str | None:
    """Return a reason of the optimizer or of autopilot in a language, with letters for arms.

    Return None if there is no Japanese for it.
    """
    if language == "en":
        named = re.sub(r"\barm (\d)\b", lambda match: f"arm {_letter(match[1])}", text)
        return named[:1].upper() + named[1:]
    parts = [_japanese(text)] if _japanese(text) else [_japanese(part) for part in text.split("; ")]
    return "".join(part for part in parts if part) if all(parts) else None


def _japanese(text: str) -> str | None:
    for pattern, words in _REASONS:
        if (match := pattern.fullmatch(text)) is not None:
            values = match.groupdict()
            if "why" in values and (inner := reason(values["why"], "ja")) is None:
                return None
            if "why" in values:
                values["why"] = inner
            return words.format(**values | ({"arm": _letter(values["arm"])} if "arm" in values else {}))
    return None


def _letter(number: str) -> str:
    return LETTERS[int(number)] if int(number) < len(LETTERS) else number


# -- numbers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arm:
    """The row of an arm.

    `rate`, `low` and `high` are goals a pageview; `places` are the same in percent of the common scale.
    """

    letter: str
    lp_id: str
    weight: float
    pageviews: int
    conversions: int
    rate: float
    low: float
    high: float
    places: tuple[float, float, float]


def arms_of(state: ExperimentState) -> list[Arm]:
    """Return the rows of the arms, the page itself first."""
    count = len(state.arms)
    rates = state.rates if len(state.rates) == count else [(0.0, 0.0, 1.0)] * count
    views, goals = ((each if len(each) == count else [0] * count) for each in (state.pageviews, state.conversions))
    scale = max(high for _, _, high in rates) or 1.0
    rows = []
    for at, (rate, low, high) in enumerate(rates):
        places = round(100 * rate / scale, 1), round(100 * low / scale, 1), round(100 * high / scale, 1)
        rows.append(Arm(LETTERS[at], state.arms[at], state.weights[at], views[at], goals[at], rate, low, high, places))
    return rows


def days_needed(state: ExperimentState, now_ms: int) -> float | None:
    """Return the days until a decision at the pace so far, or None if it is not known."""
    counted, elapsed_ms = sum(state.pageviews), now_ms - state.counted_from_ms
    if not state.visits_needed or not counted or elapsed_ms <= 0:
        return None
    return state.visits_needed * elapsed_ms / counted / 1000 / DAY_S


# -- the drawing -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """The weights of an arm over time: a path, and the place of its label at the right end."""

    letter: str
    path: str
    first: float
    last: float
    label_y: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """The weights of all arms over time.

    `marks` are times, each with x, text and anchor; `levels` are shares, each with y and text.
    """

    lines: list[Line]
    marks: list[tuple[float, str, str]]
    levels: list[tuple[float, str]]


def drawing(points: Points, end_s: int, zone: ZoneInfo) -> Drawing | None:
    """Return the drawing of past weights until `end_s`, or None without points.

    Weights hold until the next point.
    """
    if not points:
        return None
    start_s = points[0][0]
    span = max(1, end_s - start_s)

    def x(at: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, (at - start_s) / span)), 1)

    def y(weight: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - weight), 1)

    paths = []
    for arm in range(len(points[0][1])):
        steps = "".join(f"H{x(at)}V{y(weights[arm])}" for at, weights in points[1:])
        paths.append(f"M{x(start_s)} {y(points[0][1][arm])}{steps}H{x(end_s)}")
    last = points[-1][1]
    labels = _apart([y(weight) for weight in last])
    lines = [Line(*each) for each in zip(LETTERS, paths, points[0][1], last, labels, strict=False)]
    times = [datetime.fromtimestamp(at, zone) for at in (start_s, end_s)]
    marks = [(x(start_s), f"{times[0]:%m-%d %H:%M}", "start"), (x(end_s), f"{times[1]:%m-%d %H:%M}", "end")]
    return Drawing(lines, marks, [(y(level), f"{level:.0%}") for level in (0.0, 0.5, 1.0)])


def _apart(heights: list[float]) -> list[float]:
    """Return the heights of labels, moved so that no two overlap."""
    order = sorted(range(len(heights)), key=lambda at: heights[at])
    placed = dict.fromkeys(order, 0.0)
    lowest = HEIGHT - BOTTOM - LINE_H * len(order)
    for rank, at in enumerate(order):
        above = placed[order[rank - 1]] + LINE_H if rank else TOP
        placed[at] = max(above, min(heights[at], lowest + LINE_H * (rank + 1)))
    return [placed[at] for at in range(len(heights))]
