"""Who a client is, by its address or by what the proxies before the edge say of it."""

import ipaddress
from collections.abc import Iterable

LONGEST = 64  # an address with its zone and port


def network_of(text: str) -> bytes | None:
    """The client of an address: IPv4 as it is, IPv6 by its /64, which one household has; None for no address.

    A port counts for nothing, and an IPv4 address within IPv6 (`::ffff:192.0.2.7`) is that IPv4 address.
    """
    text = text.strip()
    if len(text) > LONGEST:
        return None
    try:
        parsed = ipaddress.ip_address(_without_port(text))
    except ValueError:
        return None
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.packed
    return parsed.packed if parsed.version == 4 else parsed.packed[:8]


def _without_port(text: str) -> str:
    """The address of `192.0.2.7:80` or `[2001:db8::1]:80`; what is no port stays, and makes it no address."""
    if text.startswith("["):
        address, end, rest = text[1:].partition("]")
        return address if end and (not rest or (rest[0] == ":" and rest[1:].isdecimal())) else text
    address, _, port = text.partition(":")
    return address if port.isdecimal() else text


def forwarded(lines: Iterable[str], trusted: int) -> bytes | None:
    """The client that the outermost of `trusted` proxies saw; None when the header does not name it.

    Each proxy appends the address that it was asked from. So the last `trusted` entries are theirs, over all lines of
    `X-Forwarded-For`, and whatever stands before them the client may have written itself.
    """
    entries = ",".join(lines).rsplit(",", trusted)
    return network_of(entries[-trusted]) if len(entries) >= trusted else None
