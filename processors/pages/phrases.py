"""Phrases of Japanese text, between which a heading may break."""

from functools import cache, lru_cache

import budoux

PARTICLES = "をがはにでとのへもや"
# characters that must not begin a line
CLOSING = "、。，．,.」』）〕】)！？!?ー…・"


@cache
def _parser() -> budoux.Parser:
    return budoux.load_default_japanese_parser()


@lru_cache(maxsize=4096)  # most headings come from the trade's words, and are the same on each page
def phrases(text: str) -> tuple[str, ...]:
    """Return the text's phrases in order; a particle stays with the quotation before it."""
    parts: list[str] = []
    for phrase in _parser().parse(text):
        if parts and (phrase[0] in CLOSING or (parts[-1][-1] in "」』" and phrase[0] in PARTICLES)):
            parts[-1] += phrase
        else:
            parts.append(phrase)
    return tuple(parts)
