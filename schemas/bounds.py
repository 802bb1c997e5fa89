"""Bounds of a message, checked before anything is built from it.

A record of a kilobyte on the wire may hold gigabytes, because producers compress. The topics take no larger record than
these bounds, so a larger value was inflated.
"""

from schemas.errors import DecodeError

MOST_RECORD = 2**20  # heatmap.events, lp.requests
MOST_MESSAGE = 2 * 2**20  # the other topics
# The largest valid datum, a request, has 280 KB: Avro has no spaces.
MOST_DATUM = 2**19
# Lists, objects and commas: pydantic keeps up to 7 KB for each that is wrong. Past weights, the largest message of our
# own, have 14,500.
MOST_ITEMS = 20_000


def check_size(value: bytes, most: int) -> None:
    """Raise DecodeError if a value has more than `most` bytes."""
    if len(value) > most:
        raise DecodeError("", f"has {len(value):,} bytes, at most {most:,} are allowed: send a smaller value")


def check_json(value: bytes, most: int) -> None:
    """Raise DecodeError if JSON has more than `most` bytes, or more items than any message."""
    check_size(value, most)
    if (items := sum(map(value.count, b",[{"))) > MOST_ITEMS:
        raise DecodeError(
            "", f"has {items:,} lists, objects and commas, at most {MOST_ITEMS:,} are allowed: send fewer"
        )
