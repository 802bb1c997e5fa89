"""All metrics of this project, built from the definitions in `infra/monitoring/metrics.toml`."""

import os
import time
from collections.abc import Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from infra.monitoring.definitions import metric_definitions

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name for the folder that processes share
_DEFINED = metric_definitions()


def _counter(name: str) -> Counter:
    definition = _DEFINED[name]
    counter = Counter(name, definition.help, list(definition.labels))
    for values in definition.closed():
        counter.labels(*values)
    return counter


def _gauge(name: str) -> Gauge:
    definition = _DEFINED[name]
    return Gauge(name, definition.help, list(definition.labels), multiprocess_mode=definition.across)


def _histogram(name: str) -> Histogram:
    definition = _DEFINED[name]
    buckets = definition.buckets or Histogram.DEFAULT_BUCKETS
    return Histogram(name, definition.help, list(definition.labels), buckets=buckets)


# -- both workers -----------------------------------------------------------------------------------------
UNREADABLE = _gauge("lpstream_unreadable_partitions")

# -- heatmap worker --------------------------------------------------------------------------------------
RECORDS = _counter("lpstream_heatmap_records_total")
EVENTS = _counter("lpstream_heatmap_events_total")
DROPPED = _counter("lpstream_heatmap_dropped_total")
CLOCK_SKEW = _counter("lpstream_heatmap_clock_skew_total")
TICKS = _counter("lpstream_heatmap_ticks_total")
BUCKETS = _counter("lpstream_heatmap_buckets_total")
FLUSH_SECONDS = _histogram("lpstream_heatmap_flush_seconds")
RETRIES = _counter("lpstream_heatmap_retries_total")
DEAD_LETTERS = _counter("lpstream_dead_letters_total")
BRAKED = _gauge("lpstream_heatmap_braked_partitions")
OPEN_BUCKET_AGE = _gauge("lpstream_heatmap_open_bucket_age_seconds")
COMMIT_AGE = _gauge("lpstream_heatmap_commit_age_seconds")
LAG = _gauge("lpstream_heatmap_lag_records")
LOST = _counter("lpstream_heatmap_lost_offsets_total")
IDENTITIES = _gauge("lpstream_heatmap_identities")
FORGOTTEN = _counter("lpstream_heatmap_identities_forgotten_total")

# -- tiers, by the heatmap workers ------------------------------------------------------------------------
TIER_RUNS = _counter("lpstream_tier_runs_total")
TIER_OBJECTS = _counter("lpstream_tier_objects_total")
TIER_BEHIND = _gauge("lpstream_tier_behind_days")
TIER_OVERDUE_AGE = _gauge("lpstream_tier_overdue_age_days")
TIER_PROBLEMS = _gauge("lpstream_tier_problems")
TIER_BYTES = _gauge("lpstream_tier_bytes")
TIER_ROWS = _gauge("lpstream_tier_rows")

# -- generation worker -----------------------------------------------------------------------------------
RESULTS = _counter("lpstream_lp_results_total")
TOTAL_SECONDS = _histogram("lpstream_lp_total_seconds")
OWN_SECONDS = _histogram("lpstream_lp_own_seconds")
STAGE_SECONDS = _histogram("lpstream_lp_stage_seconds")
LATE = _counter("lpstream_lp_late_total")
AT_WORK = _gauge("lpstream_lp_records_at_work")
MODEL_CALLS = _counter("lpstream_lp_model_calls_total")
FIRST_TOKEN_SECONDS = _histogram("lpstream_lp_first_token_seconds")
HEDGES = _counter("lpstream_lp_hedges_total")
BREAKER = _gauge("lpstream_lp_breaker_open")
FALLBACKS = _counter("lpstream_lp_template_groups_total")
COST = _counter("lpstream_lp_cost_micro_jpy_total")
BUDGET_ALERTS = _counter("lpstream_lp_budget_alerts_total")
COPY_LOOKUPS = _counter("lpstream_lp_copy_lookups_total")
COPY_SLOW = _counter("lpstream_lp_copy_slow_total")
RESTORED = _counter("lpstream_lp_results_restored_total")

# -- optimizer ---------------------------------------------------------------------------------------------
EXPERIMENTS = _gauge("lpstream_experiments")
EXPERIMENT_STATES = _counter("lpstream_experiment_states_total")
LOOK_SECONDS = _histogram("lpstream_experiment_look_seconds")

# -- edge ------------------------------------------------------------------------------------------------
REQUESTS = _counter("lpstream_edge_requests_total")
REQUEST_SECONDS = _histogram("lpstream_edge_request_seconds")
ACKNOWLEDGED = _counter("lpstream_edge_records_total")
IN_FLIGHT = _gauge("lpstream_edge_in_flight_records")
CONNECTIONS = _gauge("lpstream_edge_connections")
REFUSED = _counter("lpstream_edge_refused_total")
STALE = _counter("lpstream_edge_stale_total")
MAPS = _counter("lpstream_edge_heatmaps_total")
MAP_SECONDS = _histogram("lpstream_edge_heatmap_seconds")
SHOTS = _counter("lpstream_edge_screenshots_total")
COLLECTIONS = _histogram("lpstream_edge_collection_seconds")


def start_failures(listener: str, templates: Iterable[str]) -> None:
    """Start the counters of 500 and 503 of these routes at 0, so that rate() sees the first failure."""
    for template in templates:
        for failure in ("500", "503"):
            REQUESTS.labels(listener, template, failure)


@cache
def request_metrics(listener: str, template: str, status: int) -> tuple[Counter, Histogram]:
    """Return the counter and histogram of a request, cached because the label lookup is slow."""
    return REQUESTS.labels(listener, template, str(status)), REQUEST_SECONDS.labels(listener, template)


@cache
def acknowledged_counter(topic: str) -> Counter:
    """Return the counter of the topic's acknowledged records."""
    return ACKNOWLEDGED.labels(topic)


_collection_began = 0.0


def observe_collection(phase: str, info: dict[str, int]) -> None:
    """Observe the duration of a garbage collection, as a callback of `gc.callbacks`."""
    global _collection_began
    if phase == "start":
        _collection_began = time.perf_counter()
    else:
        COLLECTIONS.labels(str(info["generation"])).observe(time.perf_counter() - _collection_began)


def exposition() -> bytes:
    """Return all metrics in Prometheus format, summed over the processes that share a folder."""
    if MULTIPROCESS not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
