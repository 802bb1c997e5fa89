-- Days that left the hot tables. Each Parquet object of the warm tier has a table of its own in lpstream_warm, made by
-- `lpstream tier`; tables of engine Merge read them as one, and tier_objects says which of them count.
CREATE DATABASE IF NOT EXISTS lpstream_warm COMMENT 'One table for each Parquet object of the warm tier; the views of lpstream read them';

CREATE TABLE IF NOT EXISTS lpstream.tier_objects
(
    source LowCardinality(String) COMMENT 'The hot table that the rows were moved from.',
    day Date COMMENT 'The day (UTC) that the object holds.',
    object String COMMENT 'Name of the object, and of its table in lpstream_warm.',
    revision UInt32 COMMENT 'Counts the steps of the object from 1; the highest is how it is now.',
    step Enum8('published' = 1, 'dropping' = 2, 'settled' = 3, 'cold' = 4, 'restored' = 5, 'gone' = 6) COMMENT 'published: read instead of the hot partitions, which are still there; dropping: some of them may be gone; settled: they are dropped; cold: on Glacier, not read; restored: read again until the day in `until`; gone: replaced or erased.',
    partitions Array(String) COMMENT 'Partitions of the hot table that it holds.',
    rows UInt64 COMMENT 'Rows of the object.',
    bytes UInt64 COMMENT 'Bytes of the object.',
    sums Array(UInt64) COMMENT 'Sum of each measure over the object, in the order of the table''s columns.',
    digest UInt64 COMMENT 'Sum of the hashes of its rows.',
    lp_ids Array(String) CODEC(ZSTD(3)) COMMENT 'The pages in it.',
    erased UInt32 COMMENT 'Number of the last erasure that it is free of.',
    until Date COMMENT 'Last day that a restored object is read.',
    author String COMMENT 'Who took the step: of two at once, one does.',
    noted_at DateTime('UTC') DEFAULT now() COMMENT 'When the step was taken.'
)
ENGINE = MergeTree
ORDER BY (source, day, object, revision)
SETTINGS non_replicated_deduplication_window = 20000
COMMENT 'Steps of the objects of the warm and the cold tier. Rows are only added.';

CREATE TABLE IF NOT EXISTS lpstream.erasures
(
    number UInt32 COMMENT 'Counts erasures from 1.',
    lp_ids Array(String) COMMENT 'Pages that were erased.',
    prefix String COMMENT 'Beginning of the lp_ids that were erased, empty for none.',
    asked_at DateTime('UTC') DEFAULT now() COMMENT 'When; what was counted of these pages before is erased.'
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Pages and tenants whose data was to be deleted, in every tier.';

CREATE TABLE IF NOT EXISTS lpstream.warm_cells
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window, UTC.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device.',
    kind Enum8('click' = 1, 'rage_click' = 2, 'dead_click' = 3, 'move' = 4) COMMENT 'Kind of event.',
    fixed UInt8 COMMENT '1 when x and y count from the viewport.',
    x UInt8 COMMENT 'Column, 0 to 127.',
    y UInt16 COMMENT 'Row of 16 pixels, 0 to 4095.',
    hits UInt64 COMMENT 'Events.',
    dwell_ms UInt64 COMMENT 'Milliseconds that the pointer rested.'
)
ENGINE = Merge('lpstream_warm', '^heatmap_cells_')
COMMENT 'heatmap_cells of the warm tier, with what is on its way in or out: read tiered_cells instead.';

CREATE TABLE IF NOT EXISTS lpstream.warm_scroll
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window, UTC.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device.',
    band UInt16 COMMENT 'Band of 100 pixels from the top, 0 to 655.',
    reached UInt64 COMMENT 'Pageviews that saw the band''s first pixel for the first time.',
    exposure_ms UInt64 COMMENT 'Milliseconds that the band was in view.'
)
ENGINE = Merge('lpstream_warm', '^heatmap_scroll_')
COMMENT 'heatmap_scroll of the warm tier, with what is on its way in or out: read tiered_scroll instead.';

CREATE TABLE IF NOT EXISTS lpstream.warm_sections
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window, UTC.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device.',
    section LowCardinality(String) COMMENT 'The section''s name.',
    clicks UInt64 COMMENT 'Clicks of any kind inside.',
    reached UInt64 COMMENT 'Pageviews that saw its top for the first time.',
    exposure_ms UInt64 COMMENT 'Milliseconds that any of it was in view.'
)
ENGINE = Merge('lpstream_warm', '^heatmap_sections_')
COMMENT 'heatmap_sections of the warm tier, with what is on its way in or out: read tiered_sections instead.';

CREATE TABLE IF NOT EXISTS lpstream.warm_windows
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window, UTC.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device.',
    pageviews UInt64 COMMENT 'Pageviews that began.',
    events UInt64 COMMENT 'Events of any kind.',
    clicks UInt64 COMMENT 'Clicks of any kind.',
    rage_clicks UInt64 COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 COMMENT 'Clicks without effect.',
    moves UInt64 COMMENT 'Pointer rests.',
    scrolls UInt64 COMMENT 'Scroll events.',
    goals UInt64 COMMENT 'Goals.'
)
ENGINE = Merge('lpstream_warm', '^heatmap_windows_')
COMMENT 'heatmap_windows of the warm tier, with what is on its way in or out: read tiered_windows instead.';

CREATE TABLE IF NOT EXISTS lpstream.warm_views
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window, UTC.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device.',
    page_w UInt32 COMMENT 'Width of the page, floored to 16 pixels.',
    page_h UInt32 COMMENT 'Height of the page, floored to 16 pixels.',
    viewport_w UInt32 COMMENT 'Width of the viewport, floored to 16 pixels.',
    viewport_h UInt32 COMMENT 'Height of the viewport, floored to 16 pixels.',
    pageviews UInt64 COMMENT 'Pageviews that began with these sizes.'
)
ENGINE = Merge('lpstream_warm', '^heatmap_views_')
COMMENT 'heatmap_views of the warm tier, with what is on its way in or out: read page_sizes instead.';
