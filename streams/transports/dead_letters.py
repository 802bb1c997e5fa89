"""The headers of a dead letter."""

MOST_ERROR = 1_000


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
