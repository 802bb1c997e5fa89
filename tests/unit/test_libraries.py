"""Private attributes of libraries that this project uses; upgrades must not remove them."""

import contextlib
import inspect
import re
from typing import Any

from aiohttp import web
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher, group_coordinator
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from faust.transport import consumer as faust_consumer
from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread
from openai._vendor.httpx_aiohttp import transport

AIOKAFKA: dict[Any, str] = {
    AIOKafkaConsumer: "_closed _client _coordinator _fetcher _fetch_max_wait_ms _fetch_min_bytes _isolation_level"
    " _max_poll_records _subscription",
    AIOKafkaClient: "cluster send",
    fetcher.Fetcher: "_closed _create_fetch_waiter _fetch_task _notify _records _subscriptions _wait_consume_future",
    fetcher.FetchResult: "_partition_records _update_position check_assignment has_more",
    fetcher.PartitionRecords: "_consumer_record _records _records_iterator _unpack_records next_fetch_offset",
    fetcher.FetchError: "_error check_raise",
    SubscriptionState: "fetch_context reassignment_in_progress subscription unsubscribe wait_for_assignment",
    Assignment: "state_value",
    TopicPartitionState: "has_valid_position paused position",
    group_coordinator.GroupCoordinator: "_coordination_task _group_instance_id _maybe_leave_group",
}
AIOHTTP: dict[Any, str] = {
    web.RequestHandler: "_buffer_paused _close _current_request _handler_waiter _keepalive_timeout _loop _messages"
    " _next_keepalive_close_time _parser _process_keepalive _reading_paused _request_count _request_in_progress"
    " _resume_reading_if_drained _waiter",
}
OPENAI: dict[Any, str] = {transport: "AiohttpTransport"}
FAUST: dict[Any, str] = {
    type(drivers.TRANSPORTS): "aliases",
    driver.AIOKafkaConsumerThread: "_consumer _create_worker_consumer _ensure_consumer _fetch_records"
    " call_thread commit on_partitions_assigned on_partitions_revoked seek_wait transport",
    driver: "ensure_aiokafka_TP server_list OffsetAndMetadata",
    driver.Consumer: "_new_consumer_thread _thread _to_message",
    faust_consumer.Consumer: "_add_gap _buffered_partitions _commit _filter_tps_with_pending_acks _new_offset"
    " _paused_partitions _read_offset _should_commit _unacked_messages _wait_next_records _waiting_for_ack"
    " can_resume_flow commit flow_active getmany on_buffer_drop on_buffer_full scheduler",
    ServiceThread: "_thread crash",
}


def source_of(owner: Any) -> str:
    """Return the source of a module, or of a class and its bases."""
    source = ""
    for one in getattr(owner, "__mro__", [owner]):
        with contextlib.suppress(OSError, TypeError):  # builtins have no source
            source += inspect.getsource(one)
    return source


def missing(used: dict[Any, str]) -> list[str]:
    """Return names that the owner lacks and that its source does not set as `self.NAME`."""
    return [
        f"{owner.__name__}.{name}"
        for owner, names in used.items()
        for name in names.split()
        if not hasattr(owner, name) and not re.search(rf"self\.{name}\b(: [^=\n]+)? = |\b{name}:", source_of(owner))
    ]


def test_aiokafka_has_the_attributes_in_use() -> None:
    assert missing(AIOKAFKA) == [], "adapt infra/kafka/reading.py, skips.py and streams/workers/membership.py"


def test_aiohttp_has_the_attributes_in_use() -> None:
    assert missing(AIOHTTP) == [], "adapt streams/edge/http/connections.py"


def test_openai_has_the_transport_in_use() -> None:
    assert missing(OPENAI) == [], "adapt infra/llm/stream.py"


def test_faust_has_the_attributes_in_use() -> None:
    assert missing(FAUST) == [], "adapt streams/transports/ and streams/workers/app.py"


def test_a_removed_attribute_is_detected() -> None:
    assert missing({fetcher.Fetcher: "_records _gone"}) == ["Fetcher._gone"]
