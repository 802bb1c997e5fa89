"""Pictures with a page's words on them: the Open Graph card and the thumbnail, in Japanese type.

Fonts: Noto Sans JP and Noto Serif JP, cut to JIS X 0208 and its usual extensions (SIL Open Font License, beside them).
Both are PNG with a palette: a tenth of the bytes of full colour.
"""

import io
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import budoux
from PIL import Image, ImageDraw, ImageFont

from processors.designs import DESIGNS, Design
from processors.pictures import asset
from processors.slots import fill, slots
from processors.text import cut, shown
from schemas.copywriting import Copy
from schemas.generation import GenerationRequest

CARD = (1200, 630)
THUMBNAIL = (480, 600)
FONTS = {True: "NotoSerifJP-SemiBold.woff2", False: "NotoSansJP-Bold.woff2"}
COLOURS = 160
# what must not begin a line
CLOSING = "、。，．」』）〕】！？!?ー…・"

Font = ImageFont.FreeTypeFont


@cache
def _font(serif: bool, size: int) -> Font:
    source = files("processors").joinpath("templates", "fonts", FONTS[serif]).read_bytes()
    return ImageFont.truetype(io.BytesIO(source), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _hero(design: str, width: int, height: int, focus: float = 0.5) -> Image.Image:
    """The design's first picture, filled into a size; `focus` is where its middle lies across (0 to 1)."""
    whole = Image.open(io.BytesIO(asset(design, "hero", 1080, "webp").body)).convert("RGB")
    scale = max(width / whole.width, height / whole.height)
    grown = whole.resize((round(whole.width * scale), round(whole.height * scale)), Image.Resampling.LANCZOS)
    left, top = int((grown.width - width) * focus), (grown.height - height) // 2
    return grown.crop((left, top, left + width, top + height))


@cache
def _blank(serif: bool) -> bytes:
    return bytes(_font(serif, 32).getmask("\U0010fffe"))


@cache
def _drawable(letter: str, serif: bool) -> bool:
    """Whether the font has the letter; what it lacks would be a box."""
    return letter.isspace() or bytes(_font(serif, 32).getmask(letter)) != _blank(serif)


def _known(text: str, serif: bool) -> str:
    return "".join(letter for letter in shown(text) if _drawable(letter, serif))


@cache
def _parser() -> budoux.Parser:
    return budoux.load_default_japanese_parser()


def lines_of(text: str, font: Font, width: int) -> list[str]:
    """The text in lines no wider than `width` pixels, broken between phrases, within one only where it is too wide."""
    lines = [""]
    for phrase in _parser().parse(text):
        if font.getlength(lines[-1] + phrase) <= width:
            lines[-1] += phrase
            continue
        if lines[-1]:
            lines.append("")
        for letter in phrase:
            if font.getlength(lines[-1] + letter) > width and letter not in CLOSING:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


@dataclass(slots=True)
class Brush:
    """Where text goes: a drawing, a design's type, and how far down it has come."""

    draw: ImageDraw.ImageDraw
    design: Design
    left: int
    width: int
    y: float

    def text(
        self, text: str, size: int, fill: str, *, most: int, serif: bool | None = None, leading: float = 1.5
    ) -> None:
        """Lines of text, at most so many; `y` moves below them."""
        serif = self.design.serif if serif is None else serif
        font = _font(serif, size)
        lines = lines_of(_known(text, serif), font, self.width)
        if len(lines) > most:
            lines = [*lines[: most - 1], cut("".join(lines[most - 1 :]), max(2, int(self.width / size) - 1))]
        for line in lines:
            self.draw.text((self.left, self.y), line, fill=fill, font=font)
            self.y += size * leading


def _fitting(text: str, serif: bool, width: int, sizes: tuple[int, ...], most: int) -> int:
    """The largest size at which the text takes no more than so many lines; the smallest when none does."""
    known = _known(text, serif)
    return next((size for size in sizes if len(lines_of(known, _font(serif, size), width)) <= most), sizes[-1])


def _png(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(target, "PNG", compress_level=6)
    return target.getvalue()


def _words(request: GenerationRequest, copy: Copy) -> dict[str, Any]:
    return {"name": shown(request.business.name), **fill(copy.model_dump(), slots(request))}


def og_image(request: GenerationRequest, copy: Copy, template: str) -> bytes:
    """PNG, 1200 x 630: the catch copy and the name beside the design's picture."""
    design = DESIGNS.get(template, DESIGNS["generic"])
    words = _words(request, copy)
    image = Image.new("RGB", CARD, design.paper)
    image.paste(_hero(design.name, 500, 630), (700, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 11, 630), fill=design.accent)
    catch = words["hero"]["catch"]
    size = _fitting(catch, design.serif, 560, (74, 66, 58, 50, 44), 3)
    most = 4
    font = _font(design.serif, size)
    count = min(most, len(lines_of(_known(catch, design.serif), font, 560)))
    brush = Brush(draw, design, 80, 560, (560 - count * size * 1.45) / 2)
    brush.text(catch, size, design.ink, most=most, leading=1.45)
    draw.rectangle((80, 500, 140, 503), fill=design.accent)
    brush.y = 526
    brush.text(words["name"], 32, design.quiet, most=1)
    return _png(image)


def thumbnail(request: GenerationRequest, copy: Copy, template: str) -> bytes:
    """PNG, 480 x 600: the page's first view as a phone shows it, made small."""
    design = DESIGNS.get(template, DESIGNS["generic"])
    words = _words(request, copy)
    image = Image.new("RGB", THUMBNAIL, design.paper)
    draw = ImageDraw.Draw(image)
    brush = Brush(draw, design, 24, 432, 13)
    brush.text(words["name"], 19, design.ink, most=1)
    image.paste(_hero(design.name, 480, 260), (0, 52))
    brush.y = 336
    catch = words["hero"]["catch"]
    brush.text(catch, _fitting(catch, design.serif, 432, (36, 32, 28, 24), 2), design.ink, most=2, leading=1.4)
    brush.y += 10
    brush.text(words["hero"]["lead"].striptags(), 15, design.quiet, most=3, serif=False, leading=1.7)
    call = _known(words["hero"]["call"], False)
    font = _font(False, 17)
    wide = font.getlength(call)
    draw.rounded_rectangle((24, 530, 456, 580), 25, fill=design.accent)
    draw.text((240 - wide / 2, 544), call, fill=design.on_accent, font=font)
    return _png(image)
