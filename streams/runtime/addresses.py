"""The addresses of an installation, and whether visitors can use them."""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+"  # a name of ASCII, or an IPv6 address in brackets
NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")


def is_host(text: str) -> bool:
    """Return whether a text that matches HOST is the name of a host or an IP address."""
    if not text.startswith("["):
        is_number = text.rstrip(".").rpartition(".")[2].isdigit()  # browsers read such a name as an IPv4 address
        return len(text) <= 253 and NAME.fullmatch(text) is not None and not (is_number and _address(text) is None)
    try:
        return ipaddress.IPv6Address(text.strip("[]")) is not None
    except ValueError:
        return False


def is_port(digits: str) -> bool:
    """Return whether digits are a port from 1 to 65535, without a zero in front."""
    return len(digits) <= 5 and digits[0] != "0" and int(digits) <= 65_535


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
