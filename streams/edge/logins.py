"""Wrong logins, by client: after so many, every login from there is refused for a while, right ones too."""

from cachetools import TTLCache

from streams import metrics
from streams.edge.errors import HttpError

WINDOW_S, MOST_CLIENTS = 600, 100_000


class Logins:
    """Of one process. The window begins anew with each wrong login; 0 for `most` lets all pass."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._wrong: TTLCache[bytes, int] = TTLCache(MOST_CLIENTS, WINDOW_S)

    def check(self, client: bytes) -> None:
        """HttpError 429 when too many from there were wrong; before a token is looked at, or it would be tried out."""
        if self._most and self._wrong.get(client, 0) >= self._most:
            metrics.REFUSED.labels("logins").inc()
            raise HttpError(429, "Too many wrong tokens from this address", retry_after_s=WINDOW_S)

    def wrong(self, client: bytes) -> None:
        """Count one."""
        self._wrong[client] = self._wrong.get(client, 0) + 1
