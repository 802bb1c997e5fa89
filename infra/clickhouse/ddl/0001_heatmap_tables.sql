-- Aggregates of the heatmap in 5-second windows; no row per event is kept. Engines sum on merge: always query with sum().
-- The deduplication window counts inserts: it is what makes a repeated insert of a bucket known.
CREATE DATABASE IF NOT EXISTS lpstream COMMENT 'Heatmaps of landing pages';

CREATE TABLE IF NOT EXISTS lpstream.heatmap_cells
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    days_late UInt8 DEFAULT 0 CODEC(ZSTD(1)) COMMENT 'Days from the event''s date to the date of the record that brought it.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) CODEC(ZSTD(1)) COMMENT 'Kind of device.',
    kind Enum8('click' = 1, 'rage_click' = 2, 'dead_click' = 3, 'move' = 4) COMMENT 'Kind of event: click, rage_click, dead_click or move (a pointer''s rest).',
    fixed UInt8 COMMENT '1 when x and y count from the viewport, for targets that do not scroll.',
    x UInt8 CODEC(ZSTD(1)) COMMENT 'Column, 0 to 127, of the page''s width (of the viewport''s where fixed).',
    y UInt16 CODEC(T64, ZSTD(1)) COMMENT 'Row of 16 pixels, 0 to 4095.',
    hits UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Events.',
    dwell_ms UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Milliseconds that the pointer rested.'
)
ENGINE = SummingMergeTree((hits, dwell_ms))
PARTITION BY (toDate(window_start), days_late)
ORDER BY (lp_id, device, kind, fixed, window_start, y, x)
TTL window_start + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, ttl_only_drop_parts = 1
COMMENT 'Clicks and pointer rests on a grid of 128 columns by 16-pixel rows.';

CREATE TABLE IF NOT EXISTS lpstream.heatmap_scroll
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    days_late UInt8 DEFAULT 0 CODEC(ZSTD(1)) COMMENT 'Days from the event''s date to the date of the record that brought it.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) CODEC(ZSTD(1)) COMMENT 'Kind of device.',
    band UInt16 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Band of 100 pixels from the top, 0 to 655.',
    reached UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Pageviews that saw the band''s first pixel for the first time.',
    exposure_ms UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Milliseconds that the band was in view.'
)
ENGINE = SummingMergeTree((reached, exposure_ms))
PARTITION BY (toDate(window_start), days_late)
ORDER BY (lp_id, device, window_start, band)
TTL window_start + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, ttl_only_drop_parts = 1
COMMENT 'Reach and exposure of the page in bands of 100 pixels.';

CREATE TABLE IF NOT EXISTS lpstream.heatmap_sections
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    days_late UInt8 DEFAULT 0 CODEC(ZSTD(1)) COMMENT 'Days from the event''s date to the date of the record that brought it.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) CODEC(ZSTD(1)) COMMENT 'Kind of device.',
    section LowCardinality(String) COMMENT 'The section''s name.',
    clicks UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Clicks of any kind inside.',
    reached UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Pageviews that saw its top for the first time.',
    exposure_ms UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Milliseconds that any of it was in view.'
)
ENGINE = SummingMergeTree((clicks, reached, exposure_ms))
PARTITION BY (toDate(window_start), days_late)
ORDER BY (lp_id, device, window_start, section)
TTL window_start + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, ttl_only_drop_parts = 1
COMMENT 'Clicks, reach and exposure of the page''s named sections.';

CREATE TABLE IF NOT EXISTS lpstream.heatmap_windows
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    days_late UInt8 DEFAULT 0 CODEC(ZSTD(1)) COMMENT 'Days from the event''s date to the date of the record that brought it.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) CODEC(ZSTD(1)) COMMENT 'Kind of device.',
    pageviews UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Pageviews that began.',
    events UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Events of any kind.',
    clicks UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Clicks of any kind: plain, rage and dead.',
    rage_clicks UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Clicks without effect.',
    moves UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Pointer rests.',
    scrolls UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Scroll events.',
    goals UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Goals: a form sent, or told by the page.'
)
ENGINE = SummingMergeTree((pageviews, events, clicks, rage_clicks, dead_clicks, moves, scrolls, goals))
PARTITION BY (toDate(window_start), days_late)
ORDER BY (lp_id, device, window_start)
TTL window_start + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, ttl_only_drop_parts = 1
COMMENT 'Totals of each window.';

CREATE TABLE IF NOT EXISTS lpstream.heatmap_views
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    days_late UInt8 DEFAULT 0 CODEC(ZSTD(1)) COMMENT 'Days from the event''s date to the date of the record that brought it.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) CODEC(ZSTD(1)) COMMENT 'Kind of device.',
    page_w UInt32 COMMENT 'Width of the page, floored to 16 pixels.',
    page_h UInt32 COMMENT 'Height of the page, floored to 16 pixels.',
    viewport_w UInt32 COMMENT 'Width of the viewport, floored to 16 pixels.',
    viewport_h UInt32 COMMENT 'Height of the viewport, floored to 16 pixels.',
    pageviews UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Pageviews that began with these sizes.'
)
ENGINE = SummingMergeTree((pageviews))
PARTITION BY (toDate(window_start), days_late)
ORDER BY (lp_id, device, window_start, page_w, page_h, viewport_w, viewport_h)
TTL window_start + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 20000, ttl_only_drop_parts = 1
COMMENT 'Sizes of pages and viewports, for the fold line, the canvas and the overlay.';
