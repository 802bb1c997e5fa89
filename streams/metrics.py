"""Every metric by its name, unit and meaning. Labels are closed sets: topics, tables, causes, routes."""

from prometheus_client import Counter, Gauge, Histogram

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
STAGE_SECONDS = Histogram("lpstream_lp_stage_seconds", "Time of one stage of generation", ["stage"])
MODEL_CALLS = Counter("lpstream_lp_model_calls_total", "Model calls, by outcome", ["provider", "outcome"])
COST = Counter("lpstream_lp_cost_micro_jpy_total", "Cost of model calls, micro-yen")

# -- edge ------------------------------------------------------------------------------------------------
REQUESTS = Counter("lpstream_edge_requests_total", "Requests answered", ["listener", "route", "status"])
REQUEST_SECONDS = Histogram("lpstream_edge_request_seconds", "Time to answer", ["listener", "route"])
ACKNOWLEDGED = Counter("lpstream_edge_records_total", "Records acknowledged by the broker", ["topic"])
IN_FLIGHT = Gauge("lpstream_edge_in_flight_records", "Records sent and not yet acknowledged")
CONNECTIONS = Gauge("lpstream_edge_connections", "Open connections", ["listener"])
REFUSED = Counter("lpstream_edge_refused_total", "Requests refused before a record was sent, by cause", ["cause"])
