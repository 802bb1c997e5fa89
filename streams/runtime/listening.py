"""Listening sockets of the services."""

import errno
import socket

from schemas.errors import SettingError
from streams.runtime.settings import PREFIX

BACKLOG = 4_096


def listening(host: str, port: int, setting: str, *, shared: bool = False) -> socket.socket:
    """Return a listening socket. Raise SettingError with the port's setting if it cannot be bound.

    `shared`: other sockets that are shared may listen there, too, and the kernel gives each a part of the connections.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"{port} of {host or 'all addresses'} is in use; stop the program there, or give another port"
            raise SettingError(f"{setting}: {reason}") from error
        raise SettingError(f"{PREFIX}EDGE_HOST, {setting}: {host} {port} cannot be bound: {error.strerror}") from error
