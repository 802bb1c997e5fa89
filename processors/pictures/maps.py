"""Heatmap pictures: heat over a screenshot, with the fold, a scale, and Japanese or English text.

A picture's size is bounded by MOST_W, MOST_H and MOST_PIXELS, whatever sizes the beacons report.
"""

import io
import math
import zlib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from processors.pictures import heat
from processors.pictures.heat import BAND_H, Bytes, Floats, Ints
from processors.pictures.words import WORDS, Language

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont
Unit = Literal["clicks", "seconds"]

MOST_W, MOST_H, MOST_PIXELS = 1_920, 12_000, 12_000_000
LEAST_SCALE, LEAST = 0.5, 240
MARGIN_TOP = 122
PAD, SCALE_W = 14, 150
INK, QUIET, PAPER, LINE, FOLD = (28, 30, 38), (96, 101, 115), (255, 255, 255), (226, 229, 236), (0, 102, 204)
GROUND, GRID = (246, 247, 250), (232, 235, 241)
BAND_OPACITY, FADED = 0.5, 0.18
RULES = (75, 50, 25)
WIDE, WIDER = 900, 1.35  # wide pictures are usually viewed scaled down, so their text is larger


@dataclass(frozen=True, slots=True)
class Canvas:
    """The background of a map: size of the page and fold in CSS pixels, screenshot (PNG), and texts.

    `title` and `notes` (at most two lines) are above the picture. Without a screenshot, `no_shot` is the key in WORDS
    of the reason.
    """

    width: int
    height: int
    fold: int
    title: str
    notes: tuple[str, ...] = ()
    language: Language = "en"
    shot: bytes | None = field(default=None, repr=False)
    no_shot: str = "no_shot_browser"


@dataclass(frozen=True, slots=True)
class Cells:
    """Counted cells: column 0..127, row of 16 px, whether relative to the viewport, and weight.

    `blur` makes their spots wider.
    """

    x: Ints
    y: Ints
    fixed: Ints
    weight: Ints
    blur: float = 1.0


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a drawn page: `scale` in pixels per CSS pixel, `shown` as the height in CSS pixels."""

    scale: float
    width: int
    height: int
    shown: int


def frame_of(width: int, height: int) -> Frame:
    """Return the frame of a page.

    A page that is too large is scaled down, to half at the least; what is still too high is cut off at the bottom.
    """
    wide = min(1.0, MOST_W / width)
    fitting = min(1.0, MOST_H / height, math.sqrt(MOST_PIXELS / (width * height)))
    scale = min(wide, max(LEAST_SCALE * wide, fitting))
    drawn = max(1, round(width * scale))
    shown = max(1, min(height, int(min(MOST_H, MOST_PIXELS / drawn) / scale)))
    return Frame(scale, drawn, max(1, round(shown * scale)), shown)


def height_of(shot: bytes) -> int:
    """Return the height of a PNG, pixels."""
    return Image.open(io.BytesIO(shot)).height


def peak_of(cells: Cells, width: int, height: int) -> float:
    """Return the value of the hottest place, for pictures with a common scale."""
    return float(_field(cells, max(LEAST, width), frame_of(max(LEAST, width), max(LEAST, height))).max())


def _field(cells: Cells, width: int, frame: Frame) -> Floats:
    return heat.field_of(cells.x, cells.y, cells.weight, width, frame.shown, frame.scale, cells.blur)


def _with_least_size(canvas: Canvas) -> Canvas:
    """Return the canvas with at least LEAST x LEAST pixels: beacons may report pages too small for text."""
    return replace(canvas, width=max(LEAST, canvas.width), height=max(LEAST, canvas.height))


def render_cells(canvas: Canvas, cells: Cells, *, unit: Unit, top: float | None = None) -> bytes:
    """Return the PNG of a click or attention map.

    Fixed targets are drawn at their place in the first view. Colours are scaled to the hottest place, or to `top`.
    """
    canvas = _with_least_size(canvas)
    frame = frame_of(canvas.width, canvas.height)
    values = _field(cells, canvas.width, frame)
    peak = float(values.max()) if top is None else top
    picture = _ground(canvas, frame)
    level = _enlarged(heat.levels_of(values, peak), frame)
    picture.paste(_coloured(level), (0, 0), level.point([int(alpha) for alpha in heat.opacity(np.arange(256) / 255)]))
    words = WORDS[canvas.language]
    hottest = words["hottest_clicks" if unit == "clicks" else "hottest_seconds"].format(peak=_number(peak))
    marks = ((0.0, "0"), (0.5, "25 %"), (1.0, "100 %"))
    if not len(cells.weight) or peak <= 0:
        hottest = words["nothing"]
    fixed = (words["fixed_layer"],) if cells.fixed.any() else ()
    return _finished(canvas, frame, picture, marks, (hottest, *fixed))


def render_bands(canvas: Canvas, reached: Ints, *, pageviews: int) -> bytes:
    """Return the PNG of a scroll map.

    The colour of each band of 100 px is the share of pageviews that saw its first pixel.
    """
    canvas = _with_least_size(canvas)
    frame = frame_of(canvas.width, canvas.height)
    share = heat.reached_levels(reached, pageviews, frame.shown)
    picture = _ground(canvas, frame)
    if pageviews:
        column = np.repeat(share, BAND_H)[: frame.shown]
        level = Image.fromarray((column[:, None] * 255).astype(np.uint8)).resize((1, frame.height))
        over = _coloured(level).resize((frame.width, frame.height))
        picture.paste(over, (0, 0), Image.new("L", over.size, int(255 * BAND_OPACITY)))
        _shares(picture, share, frame, canvas.language)
    words = WORDS[canvas.language]
    marks = ((0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %"))
    return _finished(canvas, frame, picture, marks, (words["reached"] if pageviews else words["nothing"],))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


# -- the page ----------------------------------------------------------------------------------------------


def _ground(canvas: Canvas, frame: Frame) -> Image.Image:
    """Return the screenshot, a little faded so that heat stands out, or a ruled sheet with the reason."""
    if canvas.shot is None:
        return _sheet(canvas, frame)
    shot = Image.open(io.BytesIO(canvas.shot)).convert("RGB")
    scale = frame.width / shot.width
    shot = shot.crop((0, 0, shot.width, min(shot.height, math.ceil(frame.height / scale))))
    if scale != 1:
        shot = shot.resize((frame.width, max(1, round(shot.height * scale))), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (frame.width, frame.height), GROUND)
    ground.paste(shot.point([round(value + FADED * (255 - value)) for value in range(256)] * 3), (0, 0))
    return ground


def _sheet(canvas: Canvas, frame: Frame) -> Image.Image:
    sheet = Image.new("RGB", (frame.width, frame.height), GROUND)
    draw = ImageDraw.Draw(sheet)
    font = font_of(11)
    for y in range(BAND_H, frame.shown, BAND_H):
        at = round(y * frame.scale)
        draw.line((0, at, frame.width, at), fill=GRID)
        if y % (5 * BAND_H) == 0:
            draw.text((6, at + 3), f"{y:,} px", fill=QUIET, font=font)
    lines = WORDS[canvas.language][canvas.no_shot].split("\n")
    box = (PAD, PAD, frame.width - PAD, PAD + 20 + 20 * len(lines))
    draw.rounded_rectangle(box, 8, fill=PAPER, outline=LINE)
    for at, line in enumerate(lines):
        draw.text((box[0] + 12, box[1] + 10 + 20 * at), line, fill=QUIET, font=font_of(13))
    return sheet


def _enlarged(levels: Floats, frame: Frame) -> Image.Image:
    """Return levels 0..255 in the picture's size."""
    small = Image.fromarray((levels * 255).astype(np.uint8))
    right, bottom = frame.width / heat.STEP_PX, frame.height / heat.STEP_PX
    box = (0, 0, min(right, small.width), min(bottom, small.height))
    return small.resize((frame.width, frame.height), Image.Resampling.BICUBIC, box=box)


def _coloured(level: Image.Image) -> Image.Image:
    coloured = level.copy()
    palette: Bytes = heat.colours(np.arange(256) / 255)
    coloured.putpalette(palette.tobytes())
    return coloured.convert("RGB")


# -- text and scale ----------------------------------------------------------------------------------------


@cache
def font_of(size: int) -> Font:
    """Return Noto Sans JP, the font of the cards, which includes Latin."""
    source = files("processors").joinpath("templates", "fonts", "NotoSansJP-Bold.woff2").read_bytes()
    return ImageFont.truetype(io.BytesIO(source), size, layout_engine=ImageFont.Layout.BASIC)


def _shares(picture: Image.Image, share: Floats, frame: Frame, language: Language) -> None:
    """Draw percentages along the right edge, and rules where 75, 50 and 25 percent are left."""
    draw = ImageDraw.Draw(picture)
    font = font_of(_sized(12, frame.width))
    for band in range(0, len(share), 3):
        at = round(band * BAND_H * frame.scale) + 6
        if at + 18 < frame.height:
            _label(draw, (frame.width - 8, at), f"{100 * share[band]:.0f} %", font, INK, right=True)
    for percent in RULES:
        below = np.flatnonzero(share < percent / 100)
        if len(below) and below[0]:
            at = round(int(below[0]) * BAND_H * frame.scale)
            _rule(draw, frame.width, at, WORDS[language]["left"].format(percent=percent), INK)


def _rule(draw: ImageDraw.ImageDraw, width: int, y: int, text: str, colour: Colour) -> None:
    draw.line((0, y, width, y), fill=PAPER, width=4)
    for start in range(0, width, 12):
        draw.line((start, y, start + 7, y), fill=colour, width=2)
    _label(draw, (8, y + 6), text, font_of(_sized(12, width)), colour)


def _label(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, font: Font, colour: Colour, *, right: bool = False
) -> None:
    width, height = round(font.getlength(text)), round(font.size * 1.5)
    x, y = (at[0] - width - 6 if right else at[0] + 6), at[1]
    draw.rounded_rectangle((x - 6, y - 2, x + width + 6, y + height), 4, fill=PAPER, outline=LINE)
    draw.text((x, y), text, fill=colour, font=font)


def _finished(
    canvas: Canvas,
    frame: Frame,
    picture: Image.Image,
    marks: tuple[tuple[float, str], ...],
    legend: tuple[str, ...],
) -> bytes:
    """Return the PNG of the picture with its fold, title, notes and scale."""
    words = WORDS[canvas.language]
    fold = round(canvas.fold * frame.scale)
    if 0 < fold < frame.height:
        _rule(ImageDraw.Draw(picture), frame.width, fold, words["fold"].format(px=f"{canvas.fold:,}"), FOLD)
    whole = Image.new("RGB", (frame.width, MARGIN_TOP + frame.height), PAPER)
    whole.paste(picture, (0, MARGIN_TOP))
    draw = ImageDraw.Draw(whole)
    draw.text((PAD, 10), canvas.title, fill=INK, font=_fitting(canvas.title, _sized(18, frame.width), frame.width))
    for at, note in enumerate(canvas.notes[:2]):
        draw.text((PAD, 40 + 20 * at), note, fill=QUIET, font=_fitting(note, _sized(12, frame.width), frame.width))
    draw.line((0, MARGIN_TOP - 1, frame.width, MARGIN_TOP - 1), fill=LINE)
    if frame.shown < canvas.height:
        legend = (*legend, words["cut"].format(shown=f"{frame.shown:,}", height=f"{canvas.height:,}"))
    _scale(whole, 85, marks, legend)
    out = io.BytesIO()
    # flat areas are long runs: other strategies and levels take longer for more bytes
    whole.save(out, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return out.getvalue()


def _sized(size: int, width: int) -> int:
    return size if width < WIDE else round(size * WIDER)


def _fitting(text: str, size: int, width: int) -> Font:
    """Return the largest font in which a line fits, at least 9 pixels."""
    while size > 9 and font_of(size).getlength(text) > width - 2 * PAD:
        size -= 1
    return font_of(size)


def _scale(whole: Image.Image, y: int, marks: tuple[tuple[float, str], ...], legend: tuple[str, ...]) -> None:
    width = min(SCALE_W, whole.width // 2)
    draw = ImageDraw.Draw(whole)
    whole.paste(Image.fromarray(heat.colours(np.repeat(np.linspace(0, 1, width)[None, :], 10, axis=0))), (PAD, y))
    for share, mark in marks:
        length = font_of(10).getlength(mark)
        draw.text((PAD + share * width - share * length, y + 12), mark, fill=QUIET, font=font_of(10))
    left = PAD + width + 12
    for at, text in enumerate((legend[0], " · ".join(legend[1:]))):
        draw.text(
            (left, y - 4 + 17 * at), text, fill=(INK, QUIET)[at], font=_fitting(text, 12, whole.width - left + PAD)
        )
