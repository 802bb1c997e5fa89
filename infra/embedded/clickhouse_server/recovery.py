"""The removal of insert tokens whose part does not exist, before the engine opens its path.

A plain MergeTree writes the token of an insert to `deduplication_logs` before it renames the part into place. After a
kill between the two, a retry would be ignored as a duplicate although the rows are lost. The token of a merged part
stays, because the new part covers its blocks.
"""

import re
from pathlib import Path

_PART = re.compile(r"(?P<partition>.+?)_(?P<first>\d+)_(?P<last>\d+)_(?P<level>\d+)(?:_\d+)?\Z")
ADDED = "1"


def forget_lost_tokens(path: Path) -> int:
    """Rewrite the token logs under a chDB path. Return the number of removed tokens."""
    return sum(_clean_table(logs) for logs in path.glob("store/*/*/deduplication_logs"))


def _clean_table(logs: Path) -> int:
    parts = [match for part in logs.parent.iterdir() if part.is_dir() and (match := _PART.match(part.name))]
    removed = 0
    for log in sorted(logs.iterdir()):
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _holds(line, parts)]
        if len(kept) < len(lines):
            removed += len(lines) - len(kept)
            log.write_text("".join(kept), encoding="utf-8")
    return removed


def _holds(line: str, parts: list[re.Match[str]]) -> bool:
    operation, _, rest = line.partition("\t")
    added = _PART.match(rest.split("\t")[0])
    if operation != ADDED or added is None:
        return True
    return any(
        part["partition"] == added["partition"]
        and int(part["first"]) <= int(added["first"])
        and int(added["last"]) <= int(part["last"])
        for part in parts
    )
