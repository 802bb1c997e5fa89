"""The picture of the demo's loop: weights, visits, rates and verdict, in Japanese and English."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise

from processors.findings.words import SECTIONS
from streams.proof.loop import RATES, Loop

WIDTH, HEIGHT = 1_000, 600
COLOURS, INK, FAINT, LINE = ("#64748b", "#0f766e"), "#1e293b", "#64748b", "#cbd5e1"
NAMES = ("the page ページ", "the variant 別案")
LEFT, RIGHT, WEIGHTS_Y, VISITS_Y, PANEL_H = 56, 620, 110, 360, 180
CARD_X, CARD_W, CARD_H = 660, 320, 210
FONT = "'Noto Sans JP', 'Hiragino Sans', system-ui, sans-serif"


def drawn(loop: Loop) -> str:
    """Return the picture as SVG."""
    began_s = loop.seen[0].at_s
    ended_s = max(loop.seen[-1].at_s, loop.state["decided_ms"] / 1_000)
    across = _Scale(began_s, max(ended_s, began_s + 1))
    body = "".join([*_head(loop), *_weights(loop, across), *_visits(loop, across), *_cards(loop)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{FONT}" '
        f'role="img" aria-label="{escape(verdict(loop)[0])}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{body}</svg>'
    )


def verdict(loop: Loop) -> tuple[str, str]:
    """Return the verdict in English and in Japanese."""
    state = loop.state
    views = sum(state["pageviews"])
    if state["status"] != "decided":
        return f"No verdict after {views:,} visits: {state['reason']}", f"{views:,}回の訪問では、まだ判定できません"
    place = state["arms"].index(state["winner"])
    return (
        f"Winner after {views:,} counted visits: {NAMES[place].split()[1]} "
        f"(a wrong winner in at most 5 of 100 experiments)",
        f"{views:,}回の訪問で判定：{NAMES[place].split()[-1]}の勝ち（誤って判定する確率は5%以下）",
    )


def differs(loop: Loop) -> tuple[str, str]:
    """Return the difference of the variant from its page, in English and in Japanese."""
    variant = loop.variant.variant
    if variant is None:
        return "", ""
    names = "、".join(f"「{SECTIONS[name][1]}」" for name in variant.sections if name in SECTIONS)
    return f"One thing differs: {variant.differs}.", f"変えたのは一つだけ：{names or 'ページ'}の文章"


class _Scale:
    """The horizontal axis: seconds to px."""

    def __init__(self, began_s: float, ended_s: float) -> None:
        self.began_s, self.ended_s = began_s, ended_s

    def x(self, at_s: float) -> float:
        part = (at_s - self.began_s) / (self.ended_s - self.began_s)
        return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, part))


def _head(loop: Loop) -> Iterator[str]:
    english, japanese = verdict(loop)
    yield _text(24, 36, "A page that improves itself　ページが自ら良くなるまで", size=20, bold=True)
    yield _text(24, 60, english, size=14)
    yield _text(24, 80, japanese, size=14)


def _weights(loop: Loop, across: _Scale) -> Iterator[str]:
    """Yield the shares of new visitors as areas: the variant below, the page above."""
    yield from _frame(WEIGHTS_Y, "Share of new visitors　新しい訪問者の配分", ("100 %", "50 %", "0 %"))
    points = [(at_s, weights[1]) for at_s, weights in loop.state["history"]]
    points.append((across.ended_s, points[-1][1]))
    bottom = WEIGHTS_Y + PANEL_H
    corners = [f"{across.x(at_s):.1f},{bottom - PANEL_H * share:.1f}" for at_s, share in _steps(points)]
    yield _box(LEFT, WEIGHTS_Y, RIGHT - LEFT, PANEL_H, fill=COLOURS[0], opacity=0.25)
    area = " ".join([f"{LEFT},{bottom}", *corners, f"{RIGHT},{bottom}"])
    yield f'<polygon points="{area}" fill="{COLOURS[1]}" opacity=".55"/>'
    yield f'<polyline points="{" ".join(corners)}" fill="none" stroke="{COLOURS[1]}" stroke-width="2"/>'
    yield _text(LEFT + 10, WEIGHTS_Y + 24, NAMES[0], size=13, fill=INK)
    yield _text(LEFT + 10, bottom - 12, NAMES[1], size=13, fill=INK)
    yield from _decision(loop, across, WEIGHTS_Y)


def _visits(loop: Loop, across: _Scale) -> Iterator[str]:
    """Yield the visits so far of each arm."""
    top = max(visits for visits, _ in loop.record.values())
    middle = f"{top / 2:,.0f}"
    yield from _frame(VISITS_Y, "Visits so far　累計の訪問数", (f"{top:,}", middle, "0"))
    times = [across.began_s + (across.ended_s - across.began_s) * step / 100 for step in range(101)]
    for place, arm in enumerate(loop.record):
        own = sorted(one.at_s for one in loop.seen if one.arm == arm)
        heights = (VISITS_Y + PANEL_H * (1 - bisect_right(own, at_s) / top) for at_s in times)
        corners = " ".join(f"{across.x(at_s):.1f},{y:.1f}" for at_s, y in zip(times, heights, strict=True))
        yield f'<polyline points="{corners}" fill="none" stroke="{COLOURS[place]}" stroke-width="2.5"/>'
    yield from _decision(loop, across, VISITS_Y)
    seconds = round(across.ended_s - across.began_s)
    yield _text(LEFT, VISITS_Y + PANEL_H + 20, "0 s", fill=FAINT)
    yield _text(RIGHT, VISITS_Y + PANEL_H + 20, f"{seconds} s", fill=FAINT, anchor="end")


def _cards(loop: Loop) -> Iterator[str]:
    """Yield a card for each arm: counts against the visitors' record, and the rate against the true one."""
    most = max(high for _, _, high in loop.state["rates"])
    top = max(0.2, min(1.0, most))
    for place, arm in enumerate(loop.record):
        y = WEIGHTS_Y - 10 + place * (CARD_H + 30)
        yield _box(CARD_X, y, CARD_W, CARD_H, fill="#f8fafc", stroke=LINE, rx=10)
        won = loop.state["winner"] == arm
        yield _text(CARD_X + 18, y + 30, NAMES[place] + ("　★" if won else ""), size=16, bold=True, fill=COLOURS[place])
        rows = (("visits 訪問", 0), ("goals 成果", 1))
        yield _text(CARD_X + 210, y + 56, "seen 記録", fill=FAINT, anchor="end")
        yield _text(CARD_X + CARD_W - 18, y + 56, "counted 集計", fill=FAINT, anchor="end")
        for at, (name, column) in enumerate(rows):
            line = y + 80 + at * 22
            yield _text(CARD_X + 18, line, name)
            yield _text(CARD_X + 210, line, f"{loop.record[arm][column]:,}", anchor="end")
            yield _text(CARD_X + CARD_W - 18, line, f"{loop.counted[arm][column]:,}", anchor="end")
        yield from _rate(loop.state["rates"][place], RATES[place], top, y + 126, COLOURS[place])


def _rate(rate: Sequence[float], truth: float, top: float, y: float, colour: str) -> Iterator[str]:
    estimate, low, high = rate

    def x(value: float) -> float:
        return CARD_X + 18 + (CARD_W - 36) * min(value, top) / top

    yield _text(CARD_X + 18, y, f"goals a visit 成果率  {estimate:.1%}  ({low:.1%} – {high:.1%})")
    yield _line(x(0), y + 26, x(top), y + 26, LINE)
    yield _box(x(low), y + 20, x(high) - x(low), 12, fill=colour, opacity=0.4)
    yield f'<circle cx="{x(estimate):.1f}" cy="{y + 26}" r="5" fill="{colour}"/>'
    yield _line(x(truth), y + 12, x(truth), y + 40, INK)
    yield _text(x(truth), y + 56, f"true rate 真の率 {truth:.0%}", anchor="middle")


def _decision(loop: Loop, across: _Scale, y: int) -> Iterator[str]:
    if loop.state["status"] != "decided":
        return
    x = across.x(loop.state["decided_ms"] / 1_000)
    yield _line(x, y, x, y + PANEL_H, INK)
    right = x < LEFT + 100
    yield _text(x + 6 if right else x - 6, y + 18, "decided 判定", anchor="start" if right else "end")


def _frame(y: int, title: str, labels: Iterable[str]) -> Iterator[str]:
    yield _text(LEFT, y - 8, title, size=13, bold=True)
    for place, label in enumerate(labels):
        line = y + PANEL_H * place / 2
        yield _line(LEFT, line, RIGHT, line, LINE)
        yield _text(LEFT - 6, line + 4, label, fill=FAINT, anchor="end")


def _steps(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield the corners of a line that keeps each value until the next point."""
    for (at_s, value), (next_s, _) in pairwise(points):
        yield at_s, value
        yield next_s, value


def _box(x: float, y: float, width: float, height: float, **looks: str | float) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    style = " ".join(f'{name}="{value}"' for name, value in looks.items())
    return f"<rect {place} {style}/>"


def _line(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    place = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {place} stroke="{colour}" stroke-width="1.5"/>'


def _text(
    x: float, y: float, words: str, *, size: int = 12, bold: bool = False, fill: str = INK, anchor: str = "start"
) -> str:
    weight = ' font-weight="700"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{fill}"{weight}>{escape(words)}</text>'
