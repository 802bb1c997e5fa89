"""The Faust apps of the workers: heatmap (messages are slices) and generation (messages are records)."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers import TRANSPORTS

from infra.kafka.access import KafkaAccess, access_of
from streams.runtime.settings import Settings
from streams.workers.membership import leave, watch

AppName = Literal["heatmap", "generation"]

# The heatmap app reads slices (streams/transports/slices.py), generation reads records (streams/transports/records.py).
SCHEMES: dict[AppName, str] = {"heatmap": "lpstream", "generation": "lpstream-records"}
TRANSPORTS.aliases |= {
    "lpstream": "streams.transports.slices:Transport",
    "lpstream-records": "streams.transports.records:Transport",
}


class App(faust.App):  # type: ignore[misc]  # faust publishes no types
    """A Faust app that leaves its group when it stops. It has no tables, so it creates no folders.

    `before_leaving` is called when the app stops, while it still owns its partitions.
    """

    before_leaving: Callable[[], Awaitable[None]] | None = None
    brokers: str
    broker_kind: str

    def _create_directories(self) -> None:
        """Create no folders."""

    async def on_start(self) -> None:
        """Start to watch the membership: services of the app start only with the first partitions."""
        await super().on_start()
        self.add_future(watch(self))

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:
        """Leave the group before Faust waits for work under way, so that other workers take over at once.

        The generation worker finishes that work without committing it. The partitions' next owner gets the same
        messages, as after a kill, and finds the stored results.
        """
        if self.should_stop:
            if self.before_leaving is not None:
                await self.before_leaving()
            await consumer.commit()
            await leave(self)
        await super()._consumer_wait_empty(consumer, logger)

    def _on_rebalance_when_stopped(self) -> None:
        """Do nothing. Faust would close the connection before the member has left the group.

        The worker would then hang until it is killed, and no worker would get its partitions until its session ends.
        """

    async def on_stop(self) -> None:
        """Leave the group, also if the worker had no partitions."""
        await super().on_stop()
        await leave(self)


def build_app(settings: Settings, name: AppName) -> faust.App:
    """Return a Faust app without tables, web server or leader. Its consumer group is `lpstream-<name>`."""
    servers = settings.kafka_bootstrap_servers.split(",")
    app = App(
        f"lpstream-{name}",
        broker=[f"{SCHEMES[name]}://{server.strip()}" for server in servers],
        store="memory://",
        value_serializer="raw",
        key_serializer="raw",
        topic_allow_declare=False,  # `lpstream migrate` creates topics with their settings
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.kafka_group_instance_id,
        # slices are large: a small buffer bounds memory while a store is unavailable
        stream_buffer_maxsize=16 if name == "heatmap" else 4_096,
        # paused partitions are not polled while a store is unavailable, which must not end the membership
        broker_max_poll_interval=86_400.0,
        worker_redirect_stdouts=False,
        broker_credentials=_credentials(access_of(settings.kafka_bootstrap_servers)),
        **_broker_times(settings),
    )
    app.brokers, app.broker_kind = settings.kafka_bootstrap_servers, settings.broker
    return app


def _credentials(access: KafkaAccess) -> Any:
    """Return the login and TLS of the brokers in Faust's types."""
    if access.protocol == "PLAINTEXT":
        return None
    if access.protocol == "SSL":
        return SSLCredentials(access.context())
    return SASLCredentials(
        username=access.username,
        password=access.password,
        ssl_context=access.context(),
        mechanism=access.mechanism,
    )


def _broker_times(settings: Settings) -> dict[str, Any]:
    if settings.broker == "tansu":
        # its JoinGroup waits for the whole rebalance timeout
        return {
            "broker_rebalance_timeout": 10.0,
            "broker_session_timeout": 10.0,
            "broker_heartbeat_interval": 2.0,
        }
    # A member that dies during a rebalance delays the others for the rebalance timeout. It can be short, because our
    # workers give up partitions at once.
    joining = {"broker_rebalance_timeout": 15.0, "broker_heartbeat_interval": 1.5}
    # a static member that returns within its session takes its partitions without a rebalance
    return joining | {"broker_session_timeout": 45.0 if settings.kafka_group_instance_id else 6.0}
