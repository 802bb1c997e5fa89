-- Clicks by the element that they hit. Beacons of earlier snippets name no element, so days before have no rows.
CREATE TABLE IF NOT EXISTS lpstream.heatmap_elements
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    days_late UInt8 DEFAULT 0 CODEC(ZSTD(1)) COMMENT 'Days from the event''s date to the date of the record that brought it.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) CODEC(ZSTD(1)) COMMENT 'Kind of device.',
    element LowCardinality(String) COMMENT 'The element''s name: its data-element or id, else its tag and place.',
    clicks UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Clicks of any kind on it: plain, rage and dead.',
    rage_clicks UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Clicks without effect.'
)
ENGINE = SummingMergeTree((clicks, rage_clicks, dead_clicks))
PARTITION BY (toDate(window_start), days_late)
ORDER BY (lp_id, device, window_start, element)
TTL window_start + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, ttl_only_drop_parts = 1
COMMENT 'Clicks by the element that they hit.';

CREATE TABLE IF NOT EXISTS lpstream.warm_elements
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window, UTC.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device.',
    element LowCardinality(String) COMMENT 'The element''s name.',
    clicks UInt64 COMMENT 'Clicks of any kind on it.',
    rage_clicks UInt64 COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 COMMENT 'Clicks without effect.'
)
ENGINE = Merge('lpstream_warm', '^heatmap_elements_')
COMMENT 'heatmap_elements of the warm tier, with what is on its way in or out: read tiered_elements instead.';
