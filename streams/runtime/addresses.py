"""The addresses of an installation, and whether visitors can use them."""

import ipaddress
import socket
from urllib.parse import urlsplit


def unfit(url: str | None) -> str:
    """Return why browsers of visitors cannot use an address, or "" if they can."""
    if url is None:
        return "is not set"
    parts = urlsplit(url)
    if is_local(parts.hostname or ""):
        return f"{parts.hostname} is an address of one machine only"
    return "" if parts.scheme == "https" else "does not begin with https://, so cookies would not be secure"


def is_local(host: str) -> bool:
    """Return whether a host is this machine: loopback, or the address of a listener on all addresses."""
    name = host.strip("[]").rstrip(".").lower()
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and (address.is_loopback or address.is_unspecified)


def reachable(host: str) -> str:
    """Return the host for a client on this machine, if a listener binds all addresses."""
    address = _address(host.strip("[]"))
    return "127.0.0.1" if not host or (address is not None and address.is_unspecified) else host


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address as browsers read it: 127.1 and 2130706433 are 127.0.0.1."""
    try:
        parsed = ipaddress.ip_address(name)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name)) if name.isascii() and " " not in name else None
        except OSError:
            return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
