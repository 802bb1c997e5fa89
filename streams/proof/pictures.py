"""The program of `make pictures`: it encodes the pages' pictures from `infra/artwork/*.svg`.

For each font named, it makes the cards' subset font.

    python -m streams.proof.pictures [DRAWING ...] [FONT.ttf ...]

The fonts come from npm: @expo-google-fonts/noto-sans-jp (700Bold) and @expo-google-fonts/noto-serif-jp (600SemiBold).
"""

import argparse
import asyncio
from pathlib import Path

import processors
from infra.artwork.encoder import cut_font, drawings, render
from processors.pages.curated import ROLES

TEMPLATES = Path(processors.__file__).parent / "templates"


def main(names: list[str]) -> None:
    """Make the named pictures and fonts; without names, every picture."""
    fonts = [Path(name) for name in names if name.endswith(".ttf")]
    for font in fonts:
        family, _, weight = font.stem.partition("_")
        cut_font(font, TEMPLATES / "fonts" / f"{family}-{weight.lstrip('0123456789')}.woff2")
    sources = drawings()
    chosen = [name for name in names if name in sources] or ([] if fonts else list(sources))
    widths = {name: role.widths for name, role in ROLES.items()}
    asyncio.run(render({name: sources[name] for name in chosen}, widths, TEMPLATES / "pictures"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a drawing, or a font's file")
    main(parser.parse_args().names)
