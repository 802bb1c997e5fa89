"""Small SVG line charts for the report: axes, lines, a legend, and marks at the faults."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 54
# the palette of Okabe and Ito, which colour-blind readers can distinguish
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#a6761d", "#7570b3", "#1b9e77")

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """A line or, with `dots`, a cloud of points. A value of None is a gap."""

    name: str
    points: Sequence[Point]
    dots: bool = False


def chart(
    title: str, unit: str, lines: Sequence[Line], *, marks: Sequence[tuple[float, str]] = (), limit: float | None = None
) -> str:
    """Return the chart as an SVG element; x is seconds after the start.

    `limit` is a dashed horizontal line; `marks` are labelled vertical lines.
    """
    known = [(x, y) for line in lines for x, y in line.points if y is not None]
    most_x = max([x for x, _ in known] + [x for x, _ in marks] + [1.0])
    most_y = ceiling(max([y for _, y in known] + [limit or 0.0, 1e-9]))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title, quote=True)}" font-family="system-ui,sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="16" font-size="13" font-weight="600">{escape(title)}</text>',
        f'<text x="{LEFT}" y="29" fill="#666">{escape(unit)}</text>',
        *_axes(most_x, most_y),
    ]
    if limit is not None:
        y = _y(limit, most_y)
        parts.append(
            f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#b00" stroke-dasharray="5 4" fill="none"/>'
            f'<text x="{WIDTH - RIGHT}" y="{y - 3}" text-anchor="end" fill="#b00">{limit:g}</text>'
        )
    for at, text in marks:
        x = _x(at, most_x)
        parts.append(
            f'<path d="M{x} {TOP}V{HEIGHT - BOTTOM}" stroke="#999" stroke-dasharray="2 3" fill="none"/>'
            f'<text x="{x + 3}" y="{TOP + 9}" fill="#555">{escape(text)}</text>'
        )
    for number, line in enumerate(lines):
        parts.append(_drawn(line, COLOURS[number % len(COLOURS)], most_x, most_y))
    if len(lines) > 1:
        parts.append(_legend([line.name for line in lines]))
    return "".join([*parts, "</svg>"])


def ceiling(value: float) -> float:
    """Round up to 1, 2, 2.5, 5 or 10 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999999)


def _x(value: float, most: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * value / most, 1)


def _y(value: float, most: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most, 1)


def _axes(most_x: float, most_y: float) -> list[str]:
    parts = []
    for number in range(5):
        value = most_y * number / 4
        y = _y(value, most_y)
        parts.append(
            f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#ddd" fill="none"/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end" fill="#555">{value:,.4g}</text>'
        )
    step = ceiling(most_x / 8)
    for number in range(int(most_x / step) + 1):
        x = _x(number * step, most_x)
        parts.append(
            f'<text x="{x}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle" fill="#555">{number * step:g} s</text>'
        )
    return parts


def _drawn(line: Line, colour: str, most_x: float, most_y: float) -> str:
    if line.dots:
        return "".join(
            f'<circle cx="{_x(x, most_x)}" cy="{_y(y, most_y)}" r="1.8" fill="{colour}" fill-opacity=".5"/>'
            for x, y in line.points
            if y is not None
        )
    path, pen = [], "M"
    for x, y in line.points:
        if y is None:
            pen = "M"
            continue
        path.append(f"{pen}{_x(x, most_x)} {_y(y, most_y)}")
        pen = "L"
    return f'<path d="{"".join(path)}" stroke="{colour}" stroke-width="1.6" fill="none"/>' if path else ""


def _legend(names: Sequence[str]) -> str:
    parts, x = [], float(LEFT)
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<rect x="{x}" y="{HEIGHT - 18}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{x + 14}" y="{HEIGHT - 9}">{escape(name)}</text>'
        )
        x += 24 + 6.4 * len(name)
    return "".join(parts)
