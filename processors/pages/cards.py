"""Pictures with a page's texts: the Open Graph card and the thumbnail.

Fonts: Noto Sans JP and Noto Serif JP, subset to JIS X 0208 and its usual extensions (the SIL Open Font License is in
their folder). Both pictures are PNG with a palette: a tenth of the bytes of full colour.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from PIL import Image, ImageColor, ImageDraw, ImageFont

from processors.pages.brief import brief_of
from processors.pages.calls import call_of
from processors.pages.curated import asset
from processors.pages.designs import Design, design_of
from processors.pages.phrases import CLOSING, phrases
from processors.pages.slots import fill, slots
from processors.text import cut, shown
from schemas.copywriting import Copy
from schemas.generation import GenerationRequest

CARD = (1200, 630)
THUMBNAIL = (480, 600)
FONTS = {True: "NotoSerifJP-SemiBold.woff2", False: "NotoSansJP-Bold.woff2"}
COLOURS, STEPS = 208, 16

Font = ImageFont.FreeTypeFont
Ground = Callable[[Design, bytes], Image.Image]


@cache
def _font(serif: bool, size: int) -> Font:
    source = files("processors").joinpath("templates", "fonts", FONTS[serif]).read_bytes()
    return ImageFont.truetype(io.BytesIO(source), size, layout_engine=ImageFont.Layout.BASIC)


def _hero(picture: bytes, ground: str, width: int, height: int) -> Image.Image:
    """Return a hero picture on its ground, scaled and cropped to fill a size."""
    seen = Image.open(io.BytesIO(picture)).convert("RGBA")
    whole = Image.new("RGB", seen.size, ground)
    whole.paste(seen, mask=seen)
    scale = max(width / whole.width, height / whole.height)
    scaled = whole.resize((round(whole.width * scale), round(whole.height * scale)), Image.Resampling.LANCZOS)
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    return scaled.crop((left, top, left + width, top + height))


@cache
def _blank(serif: bool) -> bytes:
    return bytes(_font(serif, 32).getmask("\U0010fffe"))


@cache
def _drawable(letter: str, serif: bool) -> bool:
    """Return whether the font has the letter; a missing letter would be drawn as a box."""
    return letter.isspace() or bytes(_font(serif, 32).getmask(letter)) != _blank(serif)


def _drawable_text(text: str, serif: bool) -> str:
    return "".join(letter for letter in shown(text) if _drawable(letter, serif))


def lines_of(text: str, font: Font, width: int) -> list[str]:
    """Return the text in lines of at most `width` pixels.

    Lines break between phrases; a phrase that is wider than a line breaks inside.
    """
    lines = [""]
    for phrase in phrases(text):
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


@dataclass(frozen=True, slots=True)
class Pen:
    """The colours of text and of its background, by their names in a design."""

    fore: str
    ground: str = "paper"


PENS = (Pen("ink"), Pen("quiet"), Pen("on_accent", "accent"))


class Card:
    """A picture with a palette, whose background is made once per design.

    Text uses steps of a colour ramp in the palette. So a card costs only text drawing and PNG compression, and no
    search for colours.
    """

    def __init__(self, design: Design, ground: Image.Image) -> None:
        self._design = design
        self._image = ground.copy()
        self._masks = {pen: Image.new("L", ground.size) for pen in PENS}

    def write(
        self,
        text: str,
        size: int,
        pen: Pen,
        at: tuple[float, float],
        width: int,
        *,
        most: int,
        leading: float = 1.5,
        serif: bool | None = None,
        centred: bool = False,
    ) -> float:
        """Draw at most `most` lines of text from (x, y) down, and return the y of their end.

        If the text is longer, the last line ends with an ellipsis.
        """
        serif = self._design.serif if serif is None else serif
        font = _font(serif, size)
        lines = lines_of(_drawable_text(text, serif), font, width)
        if len(lines) > most:
            lines = [*lines[: most - 1], cut("".join(lines[most - 1 :]), max(2, width // size - 1))]
        draw = ImageDraw.Draw(self._masks[pen])
        x, y = at
        for line in lines:
            draw.text((x - font.getlength(line) / 2 if centred else x, y), line, fill=255, font=font)
            y += size * leading
        return y

    def png(self) -> bytes:
        """Return the picture as PNG bytes."""
        for at, mask in enumerate(self._masks.values()):
            if (box := mask.getbbox()) is None:
                continue
            part = mask.crop(box)
            first = COLOURS + at * STEPS
            steps = part.point([first + value * STEPS // 256 for value in range(256)])
            self._image.paste(steps, box, part.point([0] * 8 + [255] * 248))
        target = io.BytesIO()
        self._image.save(target, "PNG", compress_level=4)
        return target.getvalue()


def _with_ramps(design: Design, picture: Image.Image) -> Image.Image:
    """Return the picture in COLOURS colours, with the ramp of each pen behind them in the palette."""
    reduced = picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = (reduced.getpalette() or [])[: COLOURS * 3]
    palette += [0] * (COLOURS * 3 - len(palette))
    for pen in PENS:
        fore, ground = (ImageColor.getrgb(getattr(design, name)) for name in (pen.fore, pen.ground))
        for step in range(STEPS):
            share = step / (STEPS - 1)
            palette += [round(low + (high - low) * share) for low, high in zip(ground, fore, strict=True)]
    reduced.putpalette(palette)
    return reduced


def _og_ground(design: Design, picture: bytes) -> Image.Image:
    image = Image.new("RGB", CARD, design.paper)
    image.paste(_hero(picture, design.paper, 500, 630), (700, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 11, 630), fill=design.accent)
    draw.rectangle((80, 500, 140, 503), fill=design.accent)
    return _with_ramps(design, image)


def _thumbnail_ground(design: Design, picture: bytes) -> Image.Image:
    image = Image.new("RGB", THUMBNAIL, design.paper)
    image.paste(_hero(picture, design.paper, 480, 260), (0, 52))
    ImageDraw.Draw(image).rounded_rectangle((24, 530, 456, 580), 25, fill=design.accent)
    return _with_ramps(design, image)


def _fitting(text: str, serif: bool, width: int, sizes: tuple[int, ...], most: int) -> tuple[int, int]:
    """Return the largest font size that needs at most `most` lines, and the width that evens them out."""
    known = _drawable_text(text, serif)

    def count(size: int, width: int) -> int:
        return len(lines_of(known, _font(serif, size), width))

    size = next((size for size in sizes if count(size, width) <= most), sizes[-1])
    lines = count(size, width)
    widest = max((int(_font(serif, size).getlength(phrase)) + 1 for phrase in phrases(known)), default=width)
    widths = range(max(width // 2, widest), width, 24)
    return size, next((narrow for narrow in widths if count(size, narrow) == lines), width)


def _words(request: GenerationRequest, copy: Copy) -> dict[str, Any]:
    return {"name": shown(request.business.name), **fill(copy.model_dump(include={"hero"}), slots(request))}


@cache
def _drawn_ground(ground: Ground, design: Design, drawing: str) -> Image.Image:
    """Return the ground with a packaged picture; many pages share it."""
    return ground(design, asset(drawing, "hero", 1080, "webp").body)


def _ground(ground: Ground, request: GenerationRequest, design: Design, own: bytes | None) -> Image.Image:
    return _drawn_ground(ground, design, brief_of(request).drawings["hero"]) if own is None else ground(design, own)


def og_image(request: GenerationRequest, copy: Copy, template: str, own: bytes | None = None) -> bytes:
    """Return the Open Graph PNG, 1200 x 630: the catch copy and the name beside the hero's picture.

    `own` is the customer's own picture, a file of its upload.
    """
    design = design_of(template)
    words = _words(request, copy)
    card = Card(design, _ground(_og_ground, request, design, own))
    catch = words["hero"]["catch"]
    size, width = _fitting(catch, design.serif, 560, (74, 66, 58, 50, 44), 3)
    count = min(4, len(lines_of(_drawable_text(catch, design.serif), _font(design.serif, size), width)))
    card.write(catch, size, Pen("ink"), (80, (530 - count * size * 1.45) / 2), width, most=4, leading=1.45)
    card.write(words["name"], 32, Pen("quiet"), (80, 526), 560, most=1)
    return card.png()


def thumbnail(request: GenerationRequest, copy: Copy, template: str, own: bytes | None = None) -> bytes:
    """Return the thumbnail PNG, 480 x 600: the page's first view on a phone, scaled down."""
    design = design_of(template)
    words = _words(request, copy)
    card = Card(design, _ground(_thumbnail_ground, request, design, own))
    card.write(words["name"], 19, Pen("ink"), (24, 13), 432, most=1)
    catch = words["hero"]["catch"]
    size, width = _fitting(catch, design.serif, 432, (36, 32, 28, 24), 2)
    y = card.write(catch, size, Pen("ink"), (24, 332), width, most=2, leading=1.4)
    lead = words["hero"]["lead"].striptags()
    card.write(lead, 15, Pen("quiet"), (24, y + 6), 432, most=3, serif=False, leading=1.7)
    call = call_of(request, brief_of(request), copy.hero.call).words
    card.write(call, 17, Pen("on_accent", "accent"), (240, 543), 400, most=1, serif=False, centred=True)
    return card.png()
