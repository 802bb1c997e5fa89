"""A reader of HTTP/1.1 responses. It counts the bytes of a body without storing them."""

import sys
from functools import lru_cache
from typing import NamedTuple

VERSIONS = (b"http/1.1", b"http/1.0")
WITHOUT_BODY = (204, 304)


class Head(NamedTuple):
    """The part of a response's head that defines its end. `length` is None if the head gives no length."""

    status: int
    keep_alive: bool
    chunked: bool
    length: int | None


@lru_cache(1_024)  # responses to beacons within a second have equal heads
def head_of(head: bytes) -> Head:
    """Parse the head of a response. Raise ValueError if it is not valid HTTP/1."""
    first, *lines = head.lower().split(b"\r\n")
    version, status, *_ = first.split(b" ", 2)
    if version not in VERSIONS:
        raise ValueError(f"no HTTP version: {version!r}")
    fields = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    chunked = fields.get(b"transfer-encoding") == b"chunked"
    length = int(fields[b"content-length"]) if b"content-length" in fields else None
    if int(status) in WITHOUT_BODY or chunked or int(status) < 200:
        length = 0
    return Head(int(status), version == VERSIONS[0] and fields.get(b"connection") != b"close", chunked, length)


class Answer:
    """The response to one request.

    `size` is the length of its body, `keep_alive` whether the connection can carry another request, and
    `ends_with_connection` whether the end of the connection is the end of the body.
    """

    __slots__ = ("_chunked", "_last_chunk", "_left", "_rest", "ends_with_connection", "keep_alive", "size", "status")

    def __init__(self) -> None:
        self.status = self.size = 0
        self.keep_alive = True
        self.ends_with_connection = self._chunked = self._last_chunk = False
        self._left = 0  # bytes until the end of the body, or of the chunk with its line end
        self._rest = b""

    def feed(self, data: bytes) -> bool:
        """Parse more bytes. Return True at the end of the response. Raise ValueError for invalid HTTP."""
        self._rest += data
        while self.status < 200:  # responses 1xx come before the final response
            head, end, rest = self._rest.partition(b"\r\n\r\n")
            if not end:
                return False
            self._rest = rest
            self.status, self.keep_alive, self._chunked, length = head_of(head)
            self.ends_with_connection = length is None
            self._left = sys.maxsize if length is None else length
        if self._chunked:
            return self._read_chunks()
        self.size += self._skip()
        return not self._left

    def _read_chunks(self) -> bool:
        while True:
            self._skip()
            line, end, rest = self._rest.partition(b"\r\n")
            if self._left or not end:
                return False
            self._rest = rest
            if not self._last_chunk:
                size = int(line.partition(b";")[0], 16)
                if size < 0:
                    raise ValueError(f"negative length of a chunk: {size}")
                self.size += size
                self._last_chunk = size == 0
                self._left = size + 2 if size else 0
            elif not line:  # the end of the trailer
                return True

    def _skip(self) -> int:
        """Discard received bytes of the body or chunk. Return their number."""
        taken = min(self._left, len(self._rest))
        self._rest = self._rest[taken:]
        self._left -= taken
        return taken
