"""`make pictures`: encode the pages' pictures anew from their drawings, `infra/artwork/*.svg`.

With fonts named, cut the cards' fonts anew.

    python -m streams.proof.pictures [DRAWING ...] [FONT.ttf ...]

The fonts come from npm: @expo-google-fonts/noto-sans-jp (700Bold) and @expo-google-fonts/noto-serif-jp (600SemiBold).
"""

import asyncio
import sys
from pathlib import Path

import processors
from infra.artwork.encoder import cut_font, drawings, render
from processors.pages.curated import ROLES

TEMPLATES = Path(processors.__file__).parent / "templates"


def main(names: list[str]) -> None:
    """Make what is named, or every picture."""
    fonts = [Path(name) for name in names if name.endswith(".ttf")]
    for font in fonts:
        family, _, weight = font.stem.partition("_")
        cut_font(font, TEMPLATES / "fonts" / f"{family}-{weight.lstrip('0123456789')}.woff2")
    found = drawings()
    wanted = [name for name in names if name in found] or ([] if fonts else list(found))
    widths = {name: role.widths for name, role in ROLES.items()}
    asyncio.run(render({name: found[name] for name in wanted}, widths, TEMPLATES / "pictures"))


if __name__ == "__main__":
    main(sys.argv[1:])
