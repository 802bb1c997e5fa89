"""The protocols between systemd and a service: sd_listen_fds(3) and sd_notify(3)."""

import contextlib
import os
import socket

from schemas.errors import SettingError

FIRST_FD = 3


def handed_over() -> list[socket.socket]:
    """Return the listening sockets from the supervisor, empty if this process must bind its own.

    They outlive the process: a client that connects during a replacement waits for the next process and is not
    refused. Raise SettingError unless there are two: the public listener's and the private listener's.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "0")
    if count != "2":
        raise SettingError(f"LISTEN_FDS: is {count}; pass two sockets, the public listener's, then the private's")
    return [socket.socket(fileno=number) for number in (FIRST_FD, FIRST_FD + 1)]


def tell_ready() -> None:
    """Tell the supervisor that the process is ready, if NOTIFY_SOCKET is set."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        # the process works even if the supervisor has gone
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)
