"""The content of a dead letter: the record's key and value, and headers that say why it is here."""

MOST_ERROR = 1_000
# The producer sends at most 2 MiB. A compressed record of 1 MiB may hold a thousand times as much.
MOST_BYTES, MOST_KEY = 2_000_000, 1_000
# the header of a letter that holds only a part of its record: the record's bytes of key and value
SIZE = "size"


def dead_letter_headers(
    error: str, topic: str, partition: int, offset: int, timestamp_ms: int
) -> list[tuple[str, bytes]]:
    """Return the headers: the error, cut to 1,000 characters, and the place and time of the record."""
    values = {
        "error": error[:MOST_ERROR],
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp_ms,
    }
    return [(name, str(value).encode()) for name, value in values.items()]


def fitted(key: bytes | None, value: bytes | None) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """Return key and value of a letter, and the header `size` if they were cut.

    A value is cut if Kafka would refuse the letter. A longer key than MOST_KEY is cut, because letters wait in memory.
    """
    size = len(key or b"") + len(value or b"")
    if len(key or b"") <= MOST_KEY and size <= MOST_BYTES:
        return key, value, []
    return key and key[:MOST_KEY], value and value[: MOST_BYTES - MOST_KEY], [(SIZE, str(size).encode())]
