"""Shapes of the drawings: SVG elements as text. Lengths are pixels of the drawing, angles degrees, colours #rrggbb."""

import math
from collections.abc import Iterable

GRAIN = (
    '<filter id="grain" x="0" y="0" width="100%" height="100%"><feTurbulence type="fractalNoise" baseFrequency=".8"'
    ' numOctaves="2" seed="3"/><feColorMatrix values="0 0 0 0 .5 0 0 0 0 .5 0 0 0 0 .5 0 0 0 1.1 -.42"/></filter>'
)
SHADOWS = "".join(
    f'<filter id="shadow{size}" x="-40%" y="-40%" width="180%" height="180%"><feDropShadow dx="{size * 0.4}"'
    f' dy="{size * 0.8}" stdDeviation="{size}" flood-color="#1c1410" flood-opacity="{opacity}"/></filter>'
    for size, opacity in ((4, 0.22), (10, 0.24), (22, 0.26))
)
BLURS = "".join(
    f'<filter id="blur{size}" x="-60%" y="-60%" width="220%" height="220%">'
    f'<feGaussianBlur stdDeviation="{size}"/></filter>'
    for size in (2, 6, 14, 30, 60)
)


def element(name: str, inside: str = "", /, **attributes: object) -> str:
    """An element; `_` in a name stands for `-`, None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{round(value, 2) if isinstance(value, float) else value}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def picture(width: int, height: int, body: Iterable[str], grain: float = 0.1) -> str:
    """The whole drawing, with a little paper grain over it."""
    over = rect(0, 0, width, height, "none", filter="url(#grain)", opacity=grain, style="mix-blend-mode:soft-light")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<defs>{GRAIN}{SHADOWS}{BLURS}</defs>{''.join(body)}{over}</svg>"
    )


def linear(name: str, *stops: str, angle: float = 90) -> str:
    """A gradient along a direction: 0 to the right, 90 down. A stop is a colour, or "colour opacity"."""
    x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return element(
        "linearGradient", _stops(stops), id=name, x1=0.5 - x / 2, y1=0.5 - y / 2, x2=0.5 + x / 2, y2=0.5 + y / 2
    )


def radial(name: str, *stops: str, cx: float = 0.5, cy: float = 0.5, r: float = 0.5) -> str:
    """A gradient from a centre outwards, in shares of what it fills."""
    return element("radialGradient", _stops(stops), id=name, cx=cx, cy=cy, r=r)


def _stops(stops: tuple[str, ...]) -> str:
    last = max(1, len(stops) - 1)
    parts = [stop.split() for stop in stops]
    return "".join(
        element("stop", offset=at / last, stop_color=part[0], stop_opacity=part[1] if len(part) > 1 else None)
        for at, part in enumerate(parts)
    )


def rect(x: float, y: float, w: float, h: float, fill: str, **rest: object) -> str:
    """A rectangle; `rx` rounds it."""
    return element("rect", x=x, y=y, width=w, height=h, fill=fill, **rest)


def circle(cx: float, cy: float, r: float, fill: str, **rest: object) -> str:
    """A disc."""
    return element("circle", cx=cx, cy=cy, r=r, fill=fill, **rest)


def oval(cx: float, cy: float, rx: float, ry: float, fill: str, turn: float = 0, **rest: object) -> str:
    """An ellipse, turned about its centre."""
    turned = f"rotate({turn} {cx:.1f} {cy:.1f})" if turn else None
    return element("ellipse", cx=cx, cy=cy, rx=rx, ry=ry, fill=fill, transform=turned, **rest)


def path(d: str, fill: str = "none", **rest: object) -> str:
    """A path; lines of it have round ends."""
    if "stroke" in rest:
        rest = {"stroke_linecap": "round", "stroke_linejoin": "round", **rest}
    return element("path", d=d, fill=fill, **rest)


def group(*parts: str, move: tuple[float, float] = (0, 0), turn: float = 0, scale: float = 1, **rest: object) -> str:
    """Parts moved, turned about their own origin, and scaled as one."""
    how = f"translate({move[0]:.1f} {move[1]:.1f}) rotate({turn:.1f}) scale({scale:.3f})"
    return element("g", "".join(parts), transform=how, **rest)


def leaf(x: float, y: float, length: float, turn: float, fill: str, wide: float = 0.36, vein: str | None = None) -> str:
    """A leaf that starts at (x, y) and points where `turn` says (0: right)."""
    w = length * wide
    blade = path(
        f"M0 0C{length * 0.25} {-w} {length * 0.7} {-w} {length} 0C{length * 0.7} {w} {length * 0.25} {w} 0 0Z", fill
    )
    line = path(f"M0 0L{length * 0.9} 0", stroke=vein, stroke_width=1.6, opacity=0.6) if vein else ""
    return group(blade, line, move=(x, y), turn=turn)


def twig(
    x: float, y: float, length: float, turn: float, fills: tuple[str, ...], size: float, stem: str, pairs: int = 6
) -> str:
    """A twig with pairs of leaves, bending a little upwards."""
    parts = [path(f"M0 0Q{length * 0.5} {-length * 0.1} {length} {-length * 0.02}", stroke=stem, stroke_width=4)]
    for at in range(1, pairs + 1):
        share = at / (pairs + 0.4)
        along, lift = length * share, -length * 0.2 * share * (1 - share) - length * 0.02 * share
        small = size * (1.08 - 0.5 * share)
        for side in (-1, 1):
            fill = fills[(at + (side > 0)) % len(fills)]
            parts.append(leaf(along, lift, small, side * (58 - 26 * share), fill, vein="#ffffff"))
    parts.append(leaf(length, -length * 0.02, size * 0.6, 0, fills[0], vein="#ffffff"))
    return group(*parts, move=(x, y), turn=turn)


def soft(cx: float, cy: float, rx: float, ry: float, fill: str, opacity: float, blur: int = 30) -> str:
    """A patch of light or shade without an edge."""
    return oval(cx, cy, rx, ry, fill, opacity=opacity, filter=f"url(#blur{blur})")
