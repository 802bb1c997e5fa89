"""The tokens of steps, by which ClickHouse drops a repeated insert."""

from datetime import UTC, date, datetime
from typing import Any

from tier_fakes import tier_object

from infra.tiers.ledger import Ledger
from schemas.tiers import Step

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = date(2026, 11, 10)


class Table:
    """The table `tier_objects`, which drops an insert with a known token.

    `taken` has the author of each token.
    """

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}
        self.authors: dict[tuple[str, int], str] = {}

    async def insert(self, table: str, rows: Any, token: str) -> None:
        if self.taken.setdefault(token, rows["author"][0].as_py()) == rows["author"][0].as_py():
            for row in rows.to_pylist():
                self.authors[row["object"], row["revision"]] = row["author"]

    async def rows(self, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        author = self.authors.get((parameters["object"], parameters["revision"]))
        return [{"author": author}] if author else []


async def test_one_of_two_runs_publishes_the_same_number() -> None:
    table: Any = Table()
    first, second = (tier_object(DAY, Step.PUBLISHED, {"a": 1}, ident) for ident in "ab")
    assert await Ledger(table, "one").publish(first, 1, NOW)
    assert not await Ledger(table, "two").publish(second, 1, NOW)


async def test_numbers_of_a_release_that_counted_otherwise_stop_no_move() -> None:
    table: Any = Table()
    entry = tier_object(DAY, Step.PUBLISHED, {"a": 1})
    table.taken = {f"publish:{entry.source}:{DAY}:{number}": "0.1.0" for number in range(9)}
    assert await Ledger(table, "one").publish(entry, 2, NOW)
