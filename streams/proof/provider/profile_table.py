"""The table of profiles in `docs/generation.md`; run as a module, it writes the table."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from streams.proof.provider.profiles import Profile, profiles

PAGE = Path(__file__).parents[3] / "docs" / "generation.md"
BEGIN, END = "<!-- profiles: begin -->\n", "<!-- profiles: end -->\n"


def table() -> str:
    """Return the table in Markdown."""
    known = profiles()
    rows = [
        "| profile | behaviour | services | breaker | source |\n|---|---|---|---|---|",
        *_rows("answers correctly", known.healthy),
        *_rows("broken", known.broken),
    ]
    return "\n".join(rows) + "\n"


def _rows(title: str, group: Mapping[str, Profile]) -> Iterator[str]:
    yield f"| **{title}** | | | | |"
    for name, profile in group.items():
        source = f"[page]({profile.source})" if profile.source.startswith("http") else profile.source
        cells = (f"`{name}`", profile.says, profile.service, profile.breaker, source)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def page(text: str) -> str:
    """Return the page's text with a new table."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
