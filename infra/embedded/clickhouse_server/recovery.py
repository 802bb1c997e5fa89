"""Forgetting insert tokens whose part does not exist, before the engine opens its path.

A plain MergeTree writes the token of an insert to `deduplication_logs` before it renames the part into place.
Killed between the two, it would say "inserted" to the retry while the rows are gone. A part that was merged
away is covered by the part that took its blocks, and its token stays.
"""

import re
from pathlib import Path

_PART = re.compile(r"(?P<partition>.+?)_(?P<first>\d+)_(?P<last>\d+)_(?P<level>\d+)(?:_\d+)?\Z")
ADDED = "1"


def forget_lost_tokens(path: Path) -> int:
    """Rewrite the token logs under a chDB path; how many tokens were forgotten."""
    return sum(_clean_table(logs) for logs in path.glob("store/*/*/deduplication_logs"))


def _clean_table(logs: Path) -> int:
    parts = [found for part in logs.parent.iterdir() if part.is_dir() and (found := _PART.match(part.name))]
    forgotten = 0
    for log in sorted(logs.iterdir()):
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _holds(line, parts)]
        if len(kept) < len(lines):
            forgotten += len(lines) - len(kept)
            log.write_text("".join(kept), encoding="utf-8")
    return forgotten


def _holds(line: str, parts: list[re.Match[str]]) -> bool:
    operation, _, rest = line.partition("\t")
    wanted = _PART.match(rest.split("\t")[0])
    if operation != ADDED or wanted is None:
        return True
    return any(
        part["partition"] == wanted["partition"]
        and int(part["first"]) <= int(wanted["first"])
        and int(wanted["last"]) <= int(part["last"])
        for part in parts
    )
