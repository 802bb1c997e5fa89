"""The search for names of the snippet's variables: `python -m streams.proof.snippet_names SECONDS`.

It changes names of `streams/edge/tracker/build.mjs` at random, keeps each change that makes the gzipped file no larger,
and prints the best.
"""

import json
import random
import string
import subprocess
import sys
import time
import zlib
from pathlib import Path

BUILD = Path(__file__).parents[1] / "edge" / "tracker" / "build.mjs"
LETTERS = string.ascii_letters + "$_"
KEYWORDS = {"do", "if", "in", "of", "as"}
HEADER_BYTES = 18  # of a gzip file


def size(text: list[str], order: list[int], names: list[str]) -> int:
    """Return the gzipped size of the code with these names."""
    code = text[0] + "".join(names[number] + after for number, after in zip(order, text[1:], strict=True))
    return len(zlib.compress(code.encode(), 9, -15)) + HEADER_BYTES


def renamed(names: list[str], clashes: list[list[int]]) -> list[str]:
    """Return a copy of the names with one random change.

    Variables that clash with the new name get the old name.
    """
    changed, at = names[:], random.randrange(len(names))
    letters = random.choices(LETTERS, k=random.choice((1, 2)))
    old, new = names[at], random.choice([random.choice(names), "".join(letters)])
    waiting = [(at, new)]
    done: set[int] = set()
    while waiting:
        at, name = waiting.pop()
        if at not in done:
            done.add(at)
            changed[at] = name
            waiting += [(other, old if name == new else new) for other in clashes[at] if changed[other] == name]
    wrong = new in KEYWORDS or any(changed[at] == changed[other] for at in done for other in clashes[at])
    return names if wrong else changed


def main(seconds: float) -> None:
    """Search, and print the size and the names."""
    command = ["node", str(BUILD), "--bindings"]
    bindings = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    text, order = bindings["parts"][::2], [int(number) for number in bindings["parts"][1::2]]
    best: list[str] = [name or f"_{at}" for at, name in enumerate(bindings["names"])]
    least, end = size(text, order, best), time.monotonic() + seconds
    while time.monotonic() < end:
        names = renamed(best, bindings["clashes"])
        if (now := size(text, order, names)) <= least:
            best, least = names, now
    sys.stdout.write(f"{least} bytes\n{' '.join(best)}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]))
