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

# -- tiers, by the heatmap workers ------------------------------------------------------------------------
TIER_RUNS = Counter("lpstream_tier_runs_total", "Runs through the tiers: done, waiting, problems, failed", ["outcome"])
TIER_OBJECTS = Counter("lpstream_tier_objects_total", "Objects by what a run did with them", ["what"])
TIER_BEHIND = Gauge("lpstream_tier_behind_days", "Days for which the oldest hot day could have been moved to S3")
TIER_PROBLEMS = Gauge("lpstream_tier_problems", "What the last run found wrong: see the worker's log")
TIER_BYTES = Gauge("lpstream_tier_bytes", "Bytes at rest, by tier: hot, warm, cold", ["tier"])
TIER_ROWS = Gauge("lpstream_tier_rows", "Rows, by tier: hot, warm, cold", ["tier"])

# -- generation worker -----------------------------------------------------------------------------------
RESULTS = Counter("lpstream_lp_results_total", "Generation results, by status and cache", ["status", "cache"])
TOTAL_SECONDS = Histogram(
    "lpstream_lp_total_seconds",
    "From a request's record to the publication of its result",
    ["status"],
    buckets=(0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 4, 5, 6, 8, 10, 15, 30),
)
OWN_SECONDS = Histogram(
    "lpstream_lp_own_seconds",
    "The same, less the time with a model call open",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10),
)
STAGE_SECONDS = Histogram("lpstream_lp_stage_seconds", "Time of one stage of generation", ["stage"])
LATE = Counter("lpstream_lp_late_total", "Results published after their deadline")
AT_WORK = Gauge("lpstream_lp_records_at_work", "Records that are worked on now", ["topic"])
MODEL_CALLS = Counter("lpstream_lp_model_calls_total", "Model calls, by outcome", ["provider", "outcome"])
FIRST_TOKEN_SECONDS = Histogram(
    "lpstream_lp_first_token_seconds",
    "From a model call to its first token",
    ["provider"],
    buckets=(0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 5),
)
HEDGES = Counter("lpstream_lp_hedges_total", "Second calls made beside a slow one, by the provider asked", ["provider"])
BREAKER = Gauge("lpstream_lp_breaker_open", "0 closed, 0.5 half open, 1 open", ["provider", "model"])
FALLBACKS = Counter("lpstream_lp_template_groups_total", "Section groups that got built-in copy, by cause", ["cause"])
COST = Counter("lpstream_lp_cost_micro_jpy_total", "Cost of model calls, micro-yen, as billed or as reserved")
BUDGET_ALERTS = Counter("lpstream_lp_budget_alerts_total", "Caps come to 50, 80, 100 %", ["scope", "percent"])
COPY_LOOKUPS = Counter(
    "lpstream_lp_copy_lookups_total", "Lookups of cached copy: l1, l2, l3, stale, near, miss", ["outcome"]
)
COPY_SLOW = Counter("lpstream_lp_copy_slow_total", "Cache layers that did not answer in their time", ["layer"])
RESTORED = Counter("lpstream_lp_results_restored_total", "Results put back into Redis from lp.results")

# -- edge ------------------------------------------------------------------------------------------------
REQUESTS = Counter("lpstream_edge_requests_total", "Requests answered", ["listener", "route", "status"])
REQUEST_SECONDS = Histogram("lpstream_edge_request_seconds", "Time to answer", ["listener", "route"])
ACKNOWLEDGED = Counter("lpstream_edge_records_total", "Records acknowledged by the broker", ["topic"])
IN_FLIGHT = Gauge(
    "lpstream_edge_in_flight_records", "Records sent and not yet acknowledged", multiprocess_mode="livesum"
)
CONNECTIONS = Gauge("lpstream_edge_connections", "Open connections", ["listener"], multiprocess_mode="livesum")
REFUSED = Counter("lpstream_edge_refused_total", "Requests refused before a record was sent, by cause", ["cause"])
MAPS = Counter("lpstream_edge_heatmaps_total", "Heatmaps answered: png, json; kept, made", ["suffix", "outcome"])
MAP_SECONDS = Histogram("lpstream_edge_heatmap_seconds", "Time to make a heatmap that was not kept", ["suffix"])
SHOTS = Counter("lpstream_edge_screenshots_total", "Screenshots of pages: taken, failed", ["outcome"])
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
