"""Every metric by its name, unit and meaning. Labels are closed sets: topics, tables, causes, routes."""

import os
import time
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name for the folder that processes share

# -- heatmap worker --------------------------------------------------------------------------------------
RECORDS = Counter("lpstream_heatmap_records_total", "Records read from heatmap.events, ticks left out")
EVENTS = Counter("lpstream_heatmap_events_total", "Events of beacons that were counted")
DROPPED = Counter("lpstream_heatmap_dropped_total", "Beacons not counted, by cause", ["cause"])
CLOCK_SKEW = Counter("lpstream_heatmap_clock_skew_total", "Beacons shifted to their record's time")
TICKS = Counter("lpstream_heatmap_ticks_total", "Ticks appended to close a bucket")
BUCKETS = Counter("lpstream_heatmap_buckets_total", "Buckets flushed and committed")
FLUSH_SECONDS = Histogram("lpstream_heatmap_flush_seconds", "Inserts, identities and commit of one bucket")
RETRIES = Counter("lpstream_heatmap_retries_total", "Calls repeated, by store", ["store"])
DEAD_LETTERS = Counter("lpstream_dead_letters_total", "Records sent to a dead-letter topic", ["topic"])
BRAKED = Gauge("lpstream_heatmap_braked_partitions", "Partitions paused by the dead-letter brake")
OPEN_BUCKET_AGE = Gauge("lpstream_heatmap_open_bucket_age_seconds", "Age of the oldest open bucket")
COMMIT_AGE = Gauge("lpstream_heatmap_commit_age_seconds", "Time since the last commit, oldest partition")
LAG = Gauge("lpstream_heatmap_lag_records", "Records of the assigned partitions that are not in a bucket yet")
IDENTITIES = Gauge("lpstream_heatmap_identities", "Beacon identities held in memory")

# -- generation worker -----------------------------------------------------------------------------------
RESULTS = Counter("lpstream_lp_results_total", "Generation results, by status and cache", ["status", "cache"])
STAGE_SECONDS = Histogram("lpstream_lp_stage_seconds", "Time of one stage of generation", ["stage"])
MODEL_CALLS = Counter("lpstream_lp_model_calls_total", "Model calls, by outcome", ["provider", "outcome"])
COST = Counter("lpstream_lp_cost_micro_jpy_total", "Cost of model calls, micro-yen")

# -- edge ------------------------------------------------------------------------------------------------
REQUESTS = Counter("lpstream_edge_requests_total", "Requests answered", ["listener", "route", "status"])
REQUEST_SECONDS = Histogram("lpstream_edge_request_seconds", "Time to answer", ["listener", "route"])
ACKNOWLEDGED = Counter("lpstream_edge_records_total", "Records acknowledged by the broker", ["topic"])
IN_FLIGHT = Gauge(
    "lpstream_edge_in_flight_records", "Records sent and not yet acknowledged", multiprocess_mode="livesum"
)
CONNECTIONS = Gauge("lpstream_edge_connections", "Open connections", ["listener"], multiprocess_mode="livesum")
REFUSED = Counter("lpstream_edge_refused_total", "Requests refused before a record was sent, by cause", ["cause"])
COLLECTIONS = Histogram(
    "lpstream_edge_collection_seconds",
    "Pauses of Python's garbage collector, by generation",
    ["generation"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)


@cache
def request(listener: str, template: str, status: int) -> tuple[Counter, Histogram]:
    """What a request is counted in; looking a label up costs more than counting."""
    return REQUESTS.labels(listener, template, str(status)), REQUEST_SECONDS.labels(listener, template)


@cache
def acknowledged(topic: str) -> Counter:
    """What the topic's acknowledged records are counted in."""
    return ACKNOWLEDGED.labels(topic)


_collection_began = 0.0


def observe_collection(phase: str, info: dict[str, int]) -> None:
    """For `gc.callbacks`: how long a collection took."""
    global _collection_began
    if phase == "start":
        _collection_began = time.perf_counter()
    else:
        COLLECTIONS.labels(str(info["generation"])).observe(time.perf_counter() - _collection_began)


def exposition() -> bytes:
    """All metrics as Prometheus reads them; summed over the processes where several share a folder."""
    if MULTIPROCESS not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
