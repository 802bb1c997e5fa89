"""The Native format as clients of `client_protocol_version` expect it.

chDB writes blocks for revision 0. From revision 1 on a block begins with its BlockInfo, and from 54454 on a byte before
each column's data says whether its serialization is a special one. Source: NativeWriter and BlockInfo of ClickHouse.
Data that a client sends is of revision 0, whatever it names, so it needs no change.
"""

import re
from dataclasses import dataclass

from infra.embedded.clickhouse_server.errors import ServerError

CUSTOM_SERIALIZATION = 54_454
# is_overflows = 0, bucket_num = -1, end
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
ORDINARY = b"\x00"
# bytes of a value
WIDTHS = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Date", "Enum16", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "DateTime", "Date32", "IPv4", "Decimal32", "Time"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("Int256", "UInt256", "Decimal256"), 32),
}
DECIMALS = ((9, 4), (18, 8), (38, 16), (76, 32))
INTERVAL_BYTES = 8
# types with the number of their elements before the elements
SIZED = ("Array", "Map", "Nested")
# of a LowCardinality column: the version, and then the index's flags and the dictionary's size
VERSION_BYTES, NUMBER_BYTES = 8, 8
_NAMED = re.compile(r"(?:[^\W\d]\w*|`(?:[^`\\]|\\.)*`) (?=\w)")


def with_revision(body: bytes, revision: int) -> bytes:
    """Return the blocks in the form of that revision. Raise error 48 for a type that cannot be measured."""
    if revision == 0:
        return body
    flag = ORDINARY if revision >= CUSTOM_SERIALIZATION else b""
    reader, parts, copied = _Reader(body), list[bytes](), 0
    while reader.at < len(body):
        parts.append(BLOCK_INFO)
        columns, rows = reader.varint(), reader.varint()
        for _ in range(columns):
            reader.text()
            kind = reader.text().decode()
            parts += (body[copied : reader.at], flag)
            copied = reader.at
            if rows:
                reader.skip_prefix(kind)
                reader.skip(kind, rows)
        parts.append(body[copied : reader.at])
        copied = reader.at
    return b"".join(parts)


@dataclass(slots=True)
class _Reader:
    """A position in the body. `skip` moves it over the values of a column."""

    body: bytes
    at: int = 0

    def varint(self) -> int:
        """Return a LEB128 number."""
        value = shift = 0
        while True:
            byte = self.body[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> bytes:
        """Return a string, which has its length before it."""
        size = self.varint()
        self.at += size
        return self.body[self.at - size : self.at]

    def number(self) -> int:
        """Return a 64-bit number."""
        self.at += NUMBER_BYTES
        return int.from_bytes(self.body[self.at - NUMBER_BYTES : self.at], "little")

    def skip_prefix(self, kind: str) -> None:
        """Skip the versions of the LowCardinality columns inside a type; they come before all values."""
        name, inner = _parsed(kind)
        if name == "LowCardinality":
            self.at += VERSION_BYTES
            return
        for part in _parts_of(name, inner):
            self.skip_prefix(part)

    def skip(self, kind: str, rows: int) -> None:
        """Skip `rows` values of a type."""
        name, inner = _parsed(kind)
        width, parts = _width(name, inner), _parts_of(name, inner)
        if not rows:
            return
        if width is not None:
            self.at += rows * width
        elif name == "String":
            for _ in range(rows):
                self.text()
        elif name == "LowCardinality":
            self._skip_dictionary(inner[0], rows)
        elif not parts:
            raise ServerError(48, "NOT_IMPLEMENTED", f"Native with client_protocol_version: no type {name[:40]}.")
        else:
            self._skip_parts(name, parts, rows)

    def _skip_parts(self, name: str, parts: list[str], rows: int) -> None:
        if name == "Nullable":
            self.at += rows
        elif name in SIZED:
            self.at += (rows - 1) * NUMBER_BYTES
            rows = self.number()
        for part in parts:
            self.skip(part, rows)

    def _skip_dictionary(self, kind: str, rows: int) -> None:
        index_bytes = 1 << (self.number() & 0xFF)
        name, inner = _parsed(kind)
        self.skip(inner[0] if name == "Nullable" else kind, self.number())
        self.at += NUMBER_BYTES + rows * index_bytes


def _parsed(kind: str) -> tuple[str, list[str]]:
    """Return the name of a type and its arguments: ("Map", ["String", "UInt8"]) for "Map(String, UInt8)"."""
    name, bracket, rest = kind.partition("(")
    if not bracket:
        return name, []
    parts, depth, quote, start = [], 0, "", 0
    rest = rest[:-1]
    for at, letter in enumerate(rest):
        if quote:
            quote = "" if letter == quote and rest[at - 1] != "\\" else quote
        elif letter in "'`":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif depth == 0 and letter == ",":
            parts.append(rest[start:at].strip())
            start = at + 1
    return name, [*parts, rest[start:].strip()]


def _parts_of(name: str, inner: list[str]) -> list[str]:
    """Return the types of the columns that a type consists of."""
    if name in ("Tuple", "Nested"):
        return [_NAMED.sub("", part, count=1) if _NAMED.match(part) else part for part in inner]
    if name == "SimpleAggregateFunction":
        return inner[1:]
    return inner if name in ("Array", "Map", "Nullable") else []


def _width(name: str, inner: list[str]) -> int | None:
    """Return the bytes of a value, or None if values differ in size."""
    if name == "FixedString":
        return int(inner[0])
    if name == "Decimal":
        return next(width for digits, width in DECIMALS if int(inner[0]) <= digits)
    return INTERVAL_BYTES if name.startswith("Interval") else WIDTHS.get(name)
