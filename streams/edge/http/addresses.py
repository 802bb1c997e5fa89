"""Client addresses: the peer's own, or the address that trusted proxies in front of the edge report."""

import ipaddress
from collections.abc import Iterable

LONGEST = 64  # an address with its zone and port


def network_of(text: str) -> bytes | None:
    """Return the bytes of an IPv4 address, or of the /64 of an IPv6 address; None if it is no address.

    One household has one /64. A port is ignored. An IPv4 address within IPv6 (`::ffff:192.0.2.7`) is that IPv4 address.
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
    """Return the address of `192.0.2.7:80` or `[2001:db8::1]:80`. An invalid port is not removed."""
    if text.startswith("["):
        address, end, rest = text[1:].partition("]")
        return address if end and (not rest or (rest[0] == ":" and rest[1:].isdecimal())) else text
    address, _, port = text.partition(":")
    return address if port.isdecimal() else text


def forwarded(lines: Iterable[str], trusted: int) -> bytes | None:
    """Return the client that the outermost of `trusted` proxies saw, or None if it is not named.

    Each proxy appends the address of its own client. So the last `trusted` entries, over all lines of
    `X-Forwarded-For`, come from proxies. A client may have forged all entries before them.
    """
    entries = ",".join(lines).rsplit(",", trusted)
    return network_of(entries[-trusted]) if len(entries) >= trusted else None
