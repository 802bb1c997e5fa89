"""What a supervisor and a service tell each other, by the protocols of systemd: sd_listen_fds(3) and sd_notify(3)."""

import contextlib
import os
import socket

from schemas.errors import SettingError

FIRST_FD = 3


def handed_over() -> list[socket.socket]:
    """The listening sockets that the supervisor holds for this process; empty when it binds its own.

    They outlive the process: whoever connects while it is replaced waits for the next one, and is not refused.
    SettingError unless they are two, the public listener's and the private one's.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "0")
    if count != "2":
        raise SettingError(f"LISTEN_FDS: is {count}; hand over two sockets, the public listener's, then the private's")
    return [socket.socket(fileno=number) for number in (FIRST_FD, FIRST_FD + 1)]


def tell_ready() -> None:
    """Say that work can be taken, to a supervisor that wants to know (NOTIFY_SOCKET)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        # a supervisor that has gone is no reason not to work
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)
