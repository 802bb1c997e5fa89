"""Japanese in phrases: where a heading may break."""

from functools import cache

import budoux

PARTICLES = "をがはにでとのへもや"
# what must not begin a line
CLOSING = "、。，．,.」』）〕】)！？!?ー…・"


@cache
def _parser() -> budoux.Parser:
    return budoux.load_default_japanese_parser()


def phrases(text: str) -> list[str]:
    """The text's phrases in order; a particle stays with the quotation before it."""
    found: list[str] = []
    for phrase in _parser().parse(text):
        if found and (phrase[0] in CLOSING or (found[-1][-1] in "」』" and phrase[0] in PARTICLES)):
            found[-1] += phrase
        else:
            found.append(phrase)
    return found
