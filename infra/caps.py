"""Caps of a tenant's spending on model calls.

The module is separate from the ledger because settings need it without a Redis client.
"""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["lp", "day", "month"]


@dataclass(frozen=True, slots=True)
class Caps:
    """Spending caps in micro-yen: for one LP, for one tenant in a day and in a month."""

    lp: int
    day: int
    month: int

    def of(self, scope: Scope) -> int:
        """Return the cap of the scope."""
        return {"lp": self.lp, "day": self.day, "month": self.month}[scope]
