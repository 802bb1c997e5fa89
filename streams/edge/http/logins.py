"""The limit on wrong logins: after a number of different wrong tokens, a client's next ones get 429.

A correct token always passes, because clients behind a proxy share an address. Tokens are 192 random bits, so guessing
is hopeless. The limit keeps such a client from loading the service, and shows it in the metrics.
"""

import hashlib
import secrets

from cachetools import TTLCache

from streams.edge.http.errors import HttpError
from streams.runtime import metrics

WINDOW_S, MOST_CLIENTS, DIGEST_BYTES = 600, 100_000, 8


class Logins:
    """The wrong tokens that one process has seen. `most` 0 means no limit.

    An attacker sends a different token each time. A program with an outdated token repeats it, and must not lock out
    clients at its address, so a repeated token counts once. Each new wrong token restarts the client's window.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._key = secrets.token_bytes(32)
        self._wrong: TTLCache[bytes, frozenset[bytes]] = TTLCache(MOST_CLIENTS, WINDOW_S)

    def check(self, client: bytes) -> None:
        """Raise HttpError 429 if the client sent too many wrong tokens. Call this for a wrong token only."""
        if self._most and len(self._wrong.get(client, ())) >= self._most:
            metrics.REFUSED.labels("logins").inc()
            raise HttpError(429, "Too many wrong tokens from this address", retry_after_s=WINDOW_S)

    def wrong(self, client: bytes, token: str) -> None:
        """Count a wrong token. Only its hash, under a key of this process, is stored."""
        seen = self._wrong.get(client, frozenset())
        digest = hashlib.blake2b(token.encode(errors="replace"), key=self._key, digest_size=DIGEST_BYTES).digest()
        if digest not in seen and len(seen) < self._most:
            self._wrong[client] = seen | {digest}
