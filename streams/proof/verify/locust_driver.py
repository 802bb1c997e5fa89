"""The driver for given addresses: visitors by Locust, in a process of its own.

gevent patches the sockets of the process, so they must not mix with asyncio.
"""

from gevent import monkey

monkey.patch_all()  # must come before the imports of modules that open sockets

import select
import socket
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event
from geventhttpclient.connectionpool import ConnectionPool
from locust import FastHttpUser, task
from locust.env import Environment

from streams.proof.verify.driving import POLL_S, WITHIN_S, Driving, part_of_this_process
from streams.proof.verify.visits import Request

TEXT = {"Content-Type": "text/plain"}
SPAWN_ALL = 1_000.0  # Locust users per second without a ramp; they wait for the start


def _is_alive(_pool: ConnectionPool, connection: socket.socket | None) -> bool:
    """Return whether an idle connection is still open. If it is readable, the server has closed it.

    geventhttpclient uses select(2), which fails for file descriptors above 1,023. It then takes the connection for
    closed and opens a new connection for each request of every visitor beyond the thousandth.
    """
    if connection is None or connection.fileno() < 0:
        return False
    poller = _poll()
    poller.register(connection.fileno(), select.POLLIN)
    return not poller.poll(0)


_poll = monkey.get_original("select", "poll")
ConnectionPool._is_socket_alive = _is_alive


class Visitor(FastHttpUser):
    """A Locust user: one connection, on which visitors follow each other."""

    driving: Driving
    gate: Event
    network_timeout = WITHIN_S
    connection_timeout = WITHIN_S
    concurrency = 1

    @task
    def visits(self) -> None:
        """Visit pages until the load stops."""
        self.driving.here += 1
        self.gate.wait()
        steps = self.driving.visits()
        status: int | None = None
        with suppress(StopIteration):
            while True:
                step = steps.send(status)
                if isinstance(step, Request):
                    status = self._ask(step)
                else:
                    gevent.sleep(step)
        gevent.sleep(float("inf"))  # the connection stays open until the driver ends

    def _ask(self, request: Request) -> int:
        if request.body:
            answer = self.client.post(request.path, data=request.body.decode(), name=request.kind, headers=TEXT)
        else:
            answer = self.client.get(request.path, name=request.kind)
        return int(answer.status_code)

    @classmethod
    def note(
        cls, *, name: str, response_time: float, response_length: int, response: Any, exception: Any, **_: Any
    ) -> None:
        """Record a request. Locust calls this listener for each request."""
        status = getattr(response, "status_code", 0)
        broken = exception is not None and status < 400
        timed_out = isinstance(exception, TimeoutError | gevent.Timeout) or "timed out" in str(exception).lower()
        cls.driving.note(name, response_time, response_length, 0 if broken else status, timed_out=timed_out)


def main() -> None:
    """Run this driver's part of the load. The first argument is the file with the part."""
    part = part_of_this_process()
    Visitor.host, Visitor.gate = part.edge, Event()
    driving = Visitor.driving = Driving(part, Visitor.gate.set)
    environment = Environment(user_classes=[Visitor], host=part.edge)
    environment.events.request.add_listener(Visitor.note)  # type: ignore[no-untyped-call]
    count = part.connections
    runner = environment.create_local_runner()
    runner.start(count, spawn_rate=count / part.ramp_s if part.ramp_s else SPAWN_ALL)
    for _ in driving.phases():
        gevent.sleep(POLL_S)


if __name__ == "__main__":
    main()
