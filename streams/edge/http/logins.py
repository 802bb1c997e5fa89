"""Wrong logins, by client: after so many different tokens, further wrong ones from there are answered 429.

A right token always passes: clients may share an address, as those behind a proxy do. Tokens are 192 random bits, so
trying them out is hopeless; the answer keeps a client from loading the service, and shows in the metrics.
"""

import hashlib
import secrets

from cachetools import TTLCache

from streams.edge.http.errors import HttpError
from streams.runtime import metrics

WINDOW_S, MOST_CLIENTS, DIGEST_BYTES = 600, 100_000, 8


class Logins:
    """Of one process. 0 for `most` lets all pass.

    Who tries tokens out gives another one each time. A program with a token that is no longer right repeats it, and
    must not lock out those that share its address. The window begins anew with each token that was not seen yet.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._key = secrets.token_bytes(32)
        self._wrong: TTLCache[bytes, frozenset[bytes]] = TTLCache(MOST_CLIENTS, WINDOW_S)

    def check(self, client: bytes) -> None:
        """HttpError 429 when too many tokens from there were wrong; asked when another one is wrong."""
        if self._most and len(self._wrong.get(client, ())) >= self._most:
            metrics.REFUSED.labels("logins").inc()
            raise HttpError(429, "Too many wrong tokens from this address", retry_after_s=WINDOW_S)

    def wrong(self, client: bytes, token: str) -> None:
        """Count it; kept is a hash of it under a key of this process."""
        seen = self._wrong.get(client, frozenset())
        one = hashlib.blake2b(token.encode(errors="replace"), key=self._key, digest_size=DIGEST_BYTES).digest()
        if one not in seen and len(seen) < self._most:
            self._wrong[client] = seen | {one}
