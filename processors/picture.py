"""Heatmap pictures from arrays: splat, colour, blend over a page, with a scale and the fold.

The colour map runs from transparent violet to yellow through a polynomial in the manner of "inferno"
(coefficients fitted by Matt Zucker, https://www.shadertoy.com/view/WlfXRN), so that lightness grows with heat.
"""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Floats = npt.NDArray[np.floating]

CELL_COLUMNS, CELL_H, BAND_H = 128, 16, 100
MOST_H = 6_000
MARGIN_TOP, LEGEND_H = 44, 46
SPREAD_PX = 18.0
INK, PAPER, WIRE, FOLD = (38, 40, 48), (255, 255, 255), (232, 234, 239), (0, 122, 204)
INFERNO = np.array(
    [
        [0.00021894, 0.0016510, -0.019480],
        [0.10651034, 0.5639564, 3.9327123],
        [11.6024930, -3.9728539, -15.9423941],
        [-41.703996, 17.4363989, 44.354145],
        [77.162935, -33.402358, -81.807309],
        [-71.319428, 32.626064, 73.209519],
        [25.131126, -12.242669, -23.070325],
    ]
)


@dataclass(frozen=True, slots=True)
class Canvas:
    """The page that is drawn over: its size and fold line in CSS pixels, and what stands above it."""

    width: int
    height: int
    fold: int
    title: str


def heat_colours(values: Floats) -> npt.NDArray[np.uint8]:
    """RGB of values 0..1, shape (..., 3)."""
    t = np.clip(values, 0, 1)[..., None]
    colour = np.zeros((*values.shape, 3))
    for coefficients in INFERNO[::-1]:
        colour = colour * t + coefficients
    return (np.clip(colour, 0, 1) * 255).astype(np.uint8)


def density(x: Floats, y: Floats, weight: Floats, width: int, height: int) -> Floats:
    """Weights at pixels, spread by a gaussian of SPREAD_PX; shape (height, width)."""
    field: Floats = np.zeros((height, width))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    np.add.at(field, (y[inside].astype(int), x[inside].astype(int)), weight[inside])
    reach = int(3 * SPREAD_PX)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SPREAD_PX) ** 2)
    for axis in (0, 1):
        field = _convolved(field, kernel, axis)
    return field


def _convolved(field: Floats, kernel: Floats, axis: int) -> Floats:
    """Convolution along one axis by FFT: the kernel is long beside what a direct sum could bear."""
    size = field.shape[axis] + len(kernel) - 1
    spectrum = np.fft.rfft(field, size, axis=axis)
    shape = [1, 1]
    shape[axis] = -1
    spectrum *= np.fft.rfft(kernel, size).reshape(shape)
    whole = np.fft.irfft(spectrum, size, axis=axis)
    middle = np.arange(field.shape[axis]) + len(kernel) // 2
    return np.maximum(np.take(whole, middle, axis=axis), 0)


def render_cells(
    canvas: Canvas,
    x: npt.NDArray[np.int64],
    y: npt.NDArray[np.int64],
    fixed: npt.NDArray[np.bool_],
    weight: npt.NDArray[np.int64],
    *,
    unit: str,
    page: bytes | None = None,
) -> bytes:
    """PNG of a click or attention map. Cells of the fixed layer are drawn in the first viewport.

    x is a column 0..127 of the width, y a row of 16 px; `page` is a screenshot to draw over.
    """
    scale, width, height = _scaled(canvas)
    centre_x = (x + 0.5) / CELL_COLUMNS * width
    centre_y = (y + 0.5) * CELL_H * scale
    heat = density(centre_x, centre_y, weight.astype(float), width, height)
    top = float(heat.max())
    level = np.sqrt(heat / top) if top > 0 else heat
    picture = _background(canvas, width, height, page)
    _blend(picture, level, np.clip(level * 1.35, 0, 0.86) * (level > 0.06))
    return _finished(canvas, picture, scale, f"0 to {int(weight.max()) if len(weight) else 0} {unit} in a cell", fixed)


def render_bands(canvas: Canvas, reached: npt.NDArray[np.int64], *, pageviews: int, page: bytes | None = None) -> bytes:
    """PNG of a scroll map: the share of pageviews that saw each band of 100 px."""
    scale, width, height = _scaled(canvas)
    rows = np.minimum((np.arange(height) / scale / BAND_H).astype(int), max(0, len(reached) - 1))
    share = reached[rows] / max(1, pageviews) if len(reached) else np.zeros(height)
    level = np.repeat(np.clip(share, 0, 1)[:, None], width, axis=1)
    picture = _background(canvas, width, height, page)
    _blend(picture, level, np.full(level.shape, 0.55 if len(reached) else 0.0))
    draw = ImageDraw.Draw(picture)
    for percent in (75, 50, 25):
        below = np.flatnonzero(share < percent / 100)
        if len(below) and below[0] > 0:
            _rule(draw, width, int(below[0]), f"{percent}% saw this far", INK)
    return _finished(canvas, picture, scale, "0 to 100 % of pageviews", np.zeros(0, dtype=bool))


def _scaled(canvas: Canvas) -> tuple[float, int, int]:
    """Scale and size in picture pixels: at most MOST_H high."""
    scale = min(1.0, MOST_H / canvas.height)
    return scale, max(1, round(canvas.width * scale)), max(1, round(canvas.height * scale))


def _background(canvas: Canvas, width: int, height: int, page: bytes | None) -> Image.Image:
    if page is not None:
        shot = Image.open(io.BytesIO(page)).convert("RGB")
        ground = Image.new("RGB", (width, height), PAPER)
        ground.paste(shot.resize((width, max(1, round(shot.height * width / shot.width)))), (0, 0))
        return ground
    ground = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(ground)
    block = max(120, canvas.fold // 2)
    for top in range(0, height, block):
        draw.rounded_rectangle((16, top + 18, width - 16, top + block - 30), 8, outline=WIRE, width=2)
        for line in range(top + 44, top + block - 50, 26):
            draw.rounded_rectangle((36, line, width - 36 - (line * 37) % (width // 3), line + 8), 4, fill=WIRE)
    return ground


def _blend(picture: Image.Image, level: Floats, alpha: Floats) -> None:
    heat = Image.fromarray(heat_colours(0.15 + 0.85 * level))
    picture.paste(heat, (0, 0), Image.fromarray((alpha * 255).astype(np.uint8)))


def _rule(draw: ImageDraw.ImageDraw, width: int, y: int, text: str, colour: tuple[int, int, int]) -> None:
    font = ImageFont.load_default(13)
    for start in range(0, width, 12):
        draw.line((start, y, start + 6, y), fill=colour, width=2)
    box = draw.textbbox((8, y + 4), text, font=font)
    draw.rectangle((box[0] - 4, box[1] - 2, box[2] + 4, box[3] + 2), fill=PAPER)
    draw.text((8, y + 4), text, fill=colour, font=font)


def _finished(
    canvas: Canvas, picture: Image.Image, scale: float, scale_text: str, fixed: npt.NDArray[np.bool_]
) -> bytes:
    """The picture between its title and its colour scale, with the fold line."""
    width, height = picture.size
    fold = round(canvas.fold * scale)
    if 0 < fold < height:
        _rule(ImageDraw.Draw(picture), width, fold, f"fold {canvas.fold} px", FOLD)
    whole = Image.new("RGB", (width, MARGIN_TOP + height + LEGEND_H), PAPER)
    whole.paste(picture, (0, MARGIN_TOP))
    draw = ImageDraw.Draw(whole)
    draw.text((10, 6), canvas.title, fill=INK, font=ImageFont.load_default(14))
    note = f"{canvas.width} x {canvas.height} px" + (
        "; fixed targets are drawn in the first view" if fixed.any() else ""
    )
    draw.text((10, 25), note, fill=(110, 114, 124), font=ImageFont.load_default(12))
    bar_w = min(220, width - 20)
    ramp = heat_colours(0.15 + 0.85 * np.repeat(np.linspace(0, 1, bar_w)[None, :], 12, axis=0))
    whole.paste(Image.fromarray(ramp), (10, MARGIN_TOP + height + 8))
    draw.text((10, MARGIN_TOP + height + 24), scale_text, fill=INK, font=ImageFont.load_default(12))
    out = io.BytesIO()
    whole.save(out, "PNG")
    return out.getvalue()
