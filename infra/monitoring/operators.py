"""Panels of the operators' dashboard: the promise, then each service, then money and processes."""

from typing import Any

from infra.monitoring.dashboards import PROMETHEUS, Panel, Row

BEACON = 'lpstream_edge_request_seconds_bucket{listener="public", route="/e/heatmap.events"}'
VARIABLES: list[dict[str, Any]] = [
    {
        "name": "window",
        "label": "rate over",
        "type": "custom",
        "query": "1m,5m,30m,1h",
        "current": {"text": "5m", "value": "5m"},
        "options": [{"text": one, "value": one, "selected": one == "5m"} for one in ("1m", "5m", "30m", "1h")],
        "datasource": PROMETHEUS,
    }
]


def _quantiles(bucket: str, *quantiles: float) -> list[tuple[str, str]]:
    return [
        (f"histogram_quantile({one}, sum by (le) (rate({bucket}[$window])))", f"p{one * 100:g}") for one in quantiles
    ]


def _budget(key: str) -> list[tuple[str, str]]:
    return [(f"1 - lpstream:{key}_errors:ratio_rate3d / 0.001", "")]


def _burn(key: str) -> list[tuple[str, str]]:
    return [(f"lpstream:{key}_errors:ratio_rate{one} / 0.001", one) for one in ("5m", "1h", "6h", "1d")]


ROWS = [
    Row(
        "The promise: 99.9 %",
        [
            Panel(
                "Edge: budget left at the pace of 3 days",
                _budget("edge"),
                "1: untouched, 0: all used",
                "stat",
                "percentunit",
                4,
                6,
            ),
            Panel(
                "Pages: budget left at the pace of 3 days",
                _budget("lp"),
                "1: untouched, 0: all used",
                "stat",
                "percentunit",
                4,
                6,
            ),
            Panel(
                "Edge: burn rate",
                _burn("edge"),
                "14.4 over an hour and 6 over six hours wake somebody",
                width=8,
                height=6,
            ),
            Panel("Pages: burn rate", _burn("lp"), "The same for pages that failed or came late", width=8, height=6),
        ],
    ),
    Row(
        "Edge",
        [
            Panel(
                "Requests by status",
                [("sum by (status) (rate(lpstream_edge_requests_total[$window]))", "{{status}}")],
                unit="reqps",
            ),
            Panel(
                "Errors by route",
                [
                    (
                        'sum by (route, status) (rate(lpstream_edge_requests_total{status=~"5.."}[$window]))',
                        "{{route}} {{status}}",
                    )
                ],
                unit="reqps",
            ),
            Panel(
                "Beacon door: time to answer",
                _quantiles(BEACON, 0.5, 0.95, 0.99),
                "Until the broker has acknowledged",
                unit="s",
            ),
            Panel(
                "Open connections",
                [
                    ("sum by (listener) (lpstream_edge_connections)", "{{listener}}"),
                    ("lpstream:region_connections:cap", "the region's cap"),
                ],
            ),
            Panel(
                "Acknowledged records",
                [
                    ("sum by (topic) (rate(lpstream_edge_records_total[$window]))", "{{topic}}"),
                    ("sum(lpstream_edge_in_flight_records)", "in flight"),
                ],
                "In flight is a number of records, not a rate",
                unit="cps",
            ),
            Panel(
                "Refused, by cause",
                [("sum by (cause) (rate(lpstream_edge_refused_total[$window]))", "{{cause}}")],
                unit="reqps",
            ),
            Panel(
                "Collections of garbage",
                [
                    (
                        "sum by (generation) (rate(lpstream_edge_collection_seconds_sum[$window]))",
                        "generation {{generation}}",
                    )
                ],
                "Seconds a second",
                unit="percentunit",
            ),
            Panel(
                "Stale answers",
                [("sum(rate(lpstream_edge_stale_total[$window]))", "pages and files")],
                "Given as they were read in the last hour, while S3 does not answer",
                unit="reqps",
            ),
            Panel(
                "Maps answered, and screenshots",
                [
                    (
                        "sum by (suffix, outcome) (rate(lpstream_edge_heatmaps_total[$window]))",
                        "{{suffix}} {{outcome}}",
                    ),
                    ("sum by (outcome) (rate(lpstream_edge_screenshots_total[$window]))", "screenshots {{outcome}}"),
                ],
                "Kept are those of the hour's cache",
                unit="reqps",
            ),
            Panel(
                "Time to make a map",
                [
                    (
                        "histogram_quantile(0.99, sum by (le, suffix) (rate(lpstream_edge_heatmap_seconds_bucket[$window])))",
                        "p99 {{suffix}}",
                    )
                ],
                unit="s",
            ),
        ],
    ),
    Row(
        "Heatmaps",
        [
            Panel(
                "Records and events",
                [
                    ("lpstream:heatmap_records:rate5m", "records"),
                    ("sum(rate(lpstream_heatmap_events_total[$window]))", "events"),
                ],
                unit="cps",
            ),
            Panel("Lag", [("sum(lpstream_heatmap_lag_records)", "records")]),
            Panel(
                "Ages",
                [
                    ("max(lpstream_heatmap_open_bucket_age_seconds)", "oldest open bucket"),
                    (
                        "max by (partition) (lpstream_heatmap_commit_age_seconds)",
                        "partition {{partition}} does not advance",
                    ),
                    ("lpstream:heatmap_lag:seconds", "lag at this pace"),
                ],
                unit="s",
            ),
            Panel(
                "Storing a bucket",
                _quantiles("lpstream_heatmap_flush_seconds_bucket", 0.5, 0.99),
                "Inserts, identities and commit",
                unit="s",
            ),
            Panel(
                "Calls repeated, by store",
                [("sum by (store) (rate(lpstream_heatmap_retries_total[$window]))", "{{store}}")],
                unit="cps",
            ),
            Panel(
                "Not counted",
                [
                    ("sum by (cause) (rate(lpstream_heatmap_dropped_total[$window]))", "{{cause}}"),
                    ("sum(rate(lpstream_heatmap_clock_skew_total[$window]))", "clock shifted"),
                ],
                unit="cps",
            ),
            Panel(
                "Dead letters",
                [
                    ("sum by (topic) (increase(lpstream_dead_letters_total[1h]))", "{{topic}}"),
                    ("max(lpstream_heatmap_braked_partitions)", "paused partitions"),
                    ("sum(increase(lpstream_heatmap_lost_offsets_total[1h]))", "deleted uncounted"),
                ],
                "In an hour",
            ),
            Panel(
                "Buckets and ticks",
                [
                    ("sum(rate(lpstream_heatmap_buckets_total[$window]))", "buckets"),
                    ("sum(rate(lpstream_heatmap_ticks_total[$window]))", "ticks"),
                ],
                unit="cps",
            ),
            Panel(
                "Identities in memory",
                [
                    ("sum(lpstream_heatmap_identities)", "beacons of 30 minutes"),
                    ("sum(increase(lpstream_heatmap_identities_forgotten_total[1h]))", "forgotten early, in an hour"),
                ],
            ),
        ],
    ),
    Row(
        "Tiers",
        [
            Panel("Bytes at rest", [("max by (tier) (lpstream_tier_bytes)", "{{tier}}")], unit="bytes"),
            Panel("Rows", [("max by (tier) (lpstream_tier_rows)", "{{tier}}")]),
            Panel(
                "Behind, problems, runs",
                [
                    ("max(lpstream_tier_behind_days)", "days behind"),
                    ("max(lpstream_tier_problems)", "problems"),
                    ("sum by (outcome) (increase(lpstream_tier_runs_total[3h]))", "runs in 3 h: {{outcome}}"),
                ],
            ),
            Panel("Objects", [("sum by (what) (increase(lpstream_tier_objects_total[1d]))", "{{what}}")], "In a day"),
        ],
    ),
    Row(
        "Pages",
        [
            Panel(
                "Results",
                [("sum by (status) (rate(lpstream_lp_results_total[$window])) * 60", "{{status}}")],
                "A minute",
            ),
            Panel(
                "From request to page",
                [
                    *_quantiles("lpstream_lp_total_seconds_bucket", 0.5, 0.99),
                    ("lpstream:lp_total_seconds:p95_5m", "p95"),
                ],
                "Ten seconds are promised",
                unit="s",
            ),
            Panel(
                "Own time",
                [*_quantiles("lpstream_lp_own_seconds_bucket", 0.5), ("lpstream:lp_own_seconds:p99_5m", "p99")],
                "Without the time of model calls",
                unit="s",
            ),
            Panel(
                "Stages, p95",
                [
                    (
                        "histogram_quantile(0.95, sum by (le, stage) (rate(lpstream_lp_stage_seconds_bucket[$window])))",
                        "{{stage}}",
                    )
                ],
                unit="s",
            ),
            Panel(
                "Copy found in",
                [
                    ("sum by (outcome) (rate(lpstream_lp_copy_lookups_total[$window]))", "{{outcome}}"),
                    ("sum by (layer) (rate(lpstream_lp_copy_slow_total[$window]))", "too slow: {{layer}}"),
                ],
                unit="cps",
            ),
            Panel("Hits", [("lpstream:lp_copy_hits:ratio_rate6h", "over 6 h")], "60 % are planned", unit="percentunit"),
            Panel(
                "Model calls",
                [
                    (
                        "sum by (provider, outcome) (rate(lpstream_lp_model_calls_total[$window]))",
                        "{{provider}} {{outcome}}",
                    ),
                    ("sum by (provider) (rate(lpstream_lp_hedges_total[$window]))", "{{provider}} hedged"),
                ],
                unit="cps",
            ),
            Panel(
                "First token, p95",
                [
                    (
                        "histogram_quantile(0.95, sum by (le, provider) (rate(lpstream_lp_first_token_seconds_bucket[$window])))",
                        "{{provider}}",
                    )
                ],
                unit="s",
            ),
            Panel(
                "Breakers",
                [("max by (provider, model) (lpstream_lp_breaker_open)", "{{provider}} {{model}}")],
                "0 closed, 1 open",
            ),
            Panel(
                "Built-in copy, by cause",
                [
                    ("sum by (cause) (rate(lpstream_lp_template_groups_total[$window]))", "{{cause}}"),
                    ("lpstream:lp_degraded:ratio_rate30m", "share of degraded pages"),
                ],
            ),
            Panel(
                "At work",
                [
                    ("sum by (topic) (lpstream_lp_records_at_work)", "{{topic}}"),
                    ("sum(rate(lpstream_lp_late_total[$window])) * 60", "late a minute"),
                    ("sum(rate(lpstream_lp_results_restored_total[$window]))", "restored/s"),
                ],
            ),
        ],
    ),
    Row(
        "Money",
        [
            Panel("Model calls in a day", [("lpstream:lp_cost_yen:increase1d", "yen")], unit="currencyJPY"),
            Panel(
                "Per page, over a day",
                [("lpstream:lp_cost_yen_per_page:1d", "yen"), ("vector(2000)", "cap")],
                unit="currencyJPY",
            ),
            Panel(
                "Caps reached in a day",
                [
                    (
                        "sum by (scope, percent) (increase(lpstream_lp_budget_alerts_total[1d]))",
                        "{{scope}} {{percent}} %",
                    )
                ],
            ),
        ],
    ),
    Row(
        "Processes",
        [
            Panel(
                "Partitions at a batch that cannot be read",
                [("max by (topic, partition) (lpstream_unreadable_partitions)", "{{topic}} {{partition}}")],
                "Empty is well",
            ),
            Panel("Answering", [('up{job=~"lpstream-.*"}', "{{job}} {{instance}}")]),
            Panel(
                "Processor time of workers",
                [('rate(process_cpu_seconds_total{job=~"lpstream-.*"}[$window])', "{{job}} {{instance}}")],
                "Cores",
                unit="percentunit",
            ),
            Panel(
                "Memory of workers",
                [('process_resident_memory_bytes{job=~"lpstream-.*"}', "{{job}} {{instance}}")],
                unit="bytes",
            ),
        ],
    ),
]
