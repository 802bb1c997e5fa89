"""Orders that the optimizer has not carried out yet.

The address of the studio's page has the order's id and its time.
"""

import time
from urllib.parse import quote
from uuid import UUID

from streams.edge.studio.auth import PATH, Visit

# the page reloads for AWAITED_S; after that, until LATE_S, it says that the order is late
AWAITED_S, LATE_S = 120, 3_600


def address(lp_id: str, name: str, command_id: UUID | str) -> str:
    """Return the address of the experiment's page that awaits an order."""
    return f"{PATH}/experiments/{quote(lp_id)}?{name}={command_id}&at={int(time.time())}"


def named(visit: Visit, name: str) -> UUID | None:
    """Return the id of the order in the page's address, or None."""
    return uuid_of(visit.request.query.get(name, ""))


def since_s(visit: Visit) -> float:
    """Return the seconds since the order was sent, or infinity if the address has no time.

    The clocks of two edges may differ, so a time in the future counts like a past time.
    """
    sent = visit.request.query.get("at", "")
    return abs(time.time() - int(sent)) if len(sent) < 12 and sent.isdecimal() else float("inf")


def uuid_of(text: str) -> UUID | None:
    """Return the UUID of a text, or None."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None
