"""Listening sockets of the services."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import SettingError
from streams.runtime.settings import PREFIX

BACKLOG = 4_096


def listening(host: str, port: int, setting: str, *, shared: bool = False) -> socket.socket:
    """Return a listening socket. Raise SettingError with the port's setting if it cannot be bound.

    `shared`: other sockets that are shared may listen there, too, and the kernel gives each a part of the connections.
    """
    listener = bound(host, port, setting, shared=shared)
    listen(listener, host, port, setting)
    return listener


def bound(host: str, port: int, setting: str, *, shared: bool = False) -> socket.socket:
    """Return a socket that is bound as `listening` binds it, but does not listen.

    The port is known to be free, but clients are refused, or reach the other sockets, until `listen`.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    with _naming(listener, host, port, setting):
        listener.bind((host, port))
    return listener


def listen(listener: socket.socket, host: str, port: int, setting: str) -> None:
    """Let a bound socket take connections. Raise SettingError if another program took the port."""
    with _naming(listener, host, port, setting):
        listener.listen(BACKLOG)


@contextmanager
def _naming(listener: socket.socket, host: str, port: int, setting: str) -> Iterator[None]:
    """Close the socket and raise SettingError if the block raises OSError."""
    try:
        yield
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason = f"{port} of {host or 'all addresses'} is in use; stop the program there, or give another port"
            raise SettingError(f"{setting}: {reason}") from error
        raise SettingError(f"{PREFIX}EDGE_HOST, {setting}: {host} {port} cannot be bound: {error.strerror}") from error
