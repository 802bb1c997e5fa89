-- The analysts' views. Every migration replaces them, because the time zone of days is a setting.
-- The tiered_ views join the tables of all tiers. One read of tier_objects decides which objects are warm and which hot
-- partitions they replace, so a day that moves is read from exactly one place, never from both or neither.
CREATE OR REPLACE VIEW lpstream.tier_now
(
    source LowCardinality(String) COMMENT 'The hot table that the rows were moved from.',
    day Date COMMENT 'The day (UTC) that the object holds.',
    object String COMMENT 'Name of the object, and of its table in lpstream_warm.',
    step Enum8('published' = 1, 'dropping' = 2, 'settled' = 3, 'cold' = 4, 'restored' = 5, 'gone' = 6) COMMENT 'Its last step, as tier_objects has it.',
    partitions Array(String) COMMENT 'Partitions of the hot table that it holds.',
    rows UInt64 COMMENT 'Rows of the object.',
    bytes UInt64 COMMENT 'Bytes of the object.',
    until Date COMMENT 'Last day that a restored object is read.'
) AS
SELECT source, day, object, argMax(o.step, revision) AS step, argMax(o.partitions, revision) AS partitions,
    argMax(o.rows, revision) AS rows, argMax(o.bytes, revision) AS bytes, argMax(o.until, revision) AS until
FROM lpstream.tier_objects AS o
GROUP BY source, day, object
COMMENT 'Objects of the warm and the cold tier as they are now.';

CREATE OR REPLACE VIEW lpstream.tiered_cells
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    kind Enum8('click' = 1, 'rage_click' = 2, 'dead_click' = 3, 'move' = 4) COMMENT 'Kind of event.',
    fixed UInt8 COMMENT '1 when x and y count from the viewport, for targets that do not scroll.',
    x UInt8 COMMENT 'Column, 0 to 127, of the page''s width (of the viewport''s where fixed).',
    y UInt16 COMMENT 'Row of 16 pixels, 0 to 4095.',
    hits UInt64 COMMENT 'Events.',
    dwell_ms UInt64 COMMENT 'Milliseconds that the pointer rested.'
) AS
WITH
(
    SELECT (groupArrayIf(object, step IN ('published', 'dropping', 'settled', 'restored')),
        groupUniqArrayArrayIf(partitions, step IN ('published', 'dropping')))
    FROM lpstream.tier_now
    WHERE source = 'heatmap_cells'
) AS tier
SELECT lp_id, window_start, toDate(window_start) AS utc_date, toDate(window_start, '{timezone}') AS day, device, kind, fixed, x, y, hits, dwell_ms
FROM lpstream.heatmap_cells
WHERE _partition_id NOT IN tier.2
UNION ALL
SELECT lp_id, window_start, YYYYMMDDToDate(toUInt32OrZero(splitByChar('_', _table)[3])) AS utc_date, toDate(window_start, '{timezone}') AS day, device, kind, fixed, x, y, hits, dwell_ms
FROM lpstream.warm_cells
WHERE has(tier.1, _table)
COMMENT 'heatmap_cells of all tiers: several rows of one key may be there, so always query with sum().';

CREATE OR REPLACE VIEW lpstream.tiered_scroll
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    band UInt16 COMMENT 'Band of 100 pixels from the top, 0 to 655.',
    reached UInt64 COMMENT 'Pageviews that saw its first pixel for the first time.',
    exposure_ms UInt64 COMMENT 'Milliseconds that any of it was in view.'
) AS
WITH
(
    SELECT (groupArrayIf(object, step IN ('published', 'dropping', 'settled', 'restored')),
        groupUniqArrayArrayIf(partitions, step IN ('published', 'dropping')))
    FROM lpstream.tier_now
    WHERE source = 'heatmap_scroll'
) AS tier
SELECT lp_id, window_start, toDate(window_start) AS utc_date, toDate(window_start, '{timezone}') AS day, device, band, reached, exposure_ms
FROM lpstream.heatmap_scroll
WHERE _partition_id NOT IN tier.2
UNION ALL
SELECT lp_id, window_start, YYYYMMDDToDate(toUInt32OrZero(splitByChar('_', _table)[3])) AS utc_date, toDate(window_start, '{timezone}') AS day, device, band, reached, exposure_ms
FROM lpstream.warm_scroll
WHERE has(tier.1, _table)
COMMENT 'heatmap_scroll of all tiers: several rows of one key may be there, so always query with sum().';

CREATE OR REPLACE VIEW lpstream.tiered_sections
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    section LowCardinality(String) COMMENT 'The section''s name.',
    clicks UInt64 COMMENT 'Clicks of any kind: plain, rage and dead.',
    reached UInt64 COMMENT 'Pageviews that saw its first pixel for the first time.',
    exposure_ms UInt64 COMMENT 'Milliseconds that any of it was in view.'
) AS
WITH
(
    SELECT (groupArrayIf(object, step IN ('published', 'dropping', 'settled', 'restored')),
        groupUniqArrayArrayIf(partitions, step IN ('published', 'dropping')))
    FROM lpstream.tier_now
    WHERE source = 'heatmap_sections'
) AS tier
SELECT lp_id, window_start, toDate(window_start) AS utc_date, toDate(window_start, '{timezone}') AS day, device, section, clicks, reached, exposure_ms
FROM lpstream.heatmap_sections
WHERE _partition_id NOT IN tier.2
UNION ALL
SELECT lp_id, window_start, YYYYMMDDToDate(toUInt32OrZero(splitByChar('_', _table)[3])) AS utc_date, toDate(window_start, '{timezone}') AS day, device, section, clicks, reached, exposure_ms
FROM lpstream.warm_sections
WHERE has(tier.1, _table)
COMMENT 'heatmap_sections of all tiers: several rows of one key may be there, so always query with sum().';

CREATE OR REPLACE VIEW lpstream.tiered_windows
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    pageviews UInt64 COMMENT 'Pageviews that began.',
    events UInt64 COMMENT 'Events of any kind.',
    clicks UInt64 COMMENT 'Clicks of any kind: plain, rage and dead.',
    rage_clicks UInt64 COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 COMMENT 'Clicks without effect.',
    moves UInt64 COMMENT 'Pointer rests.',
    scrolls UInt64 COMMENT 'Scroll events.',
    goals UInt64 COMMENT 'Goals of any kind, each kind at most once a pageview.',
    goals_form UInt64 COMMENT 'Goals: forms sent.',
    goals_tel UInt64 COMMENT 'Goals: links to a phone number.',
    goals_mail UInt64 COMMENT 'Goals: links to a mail address.',
    goals_outbound UInt64 COMMENT 'Goals: links to another site.',
    goals_custom UInt64 COMMENT 'Goals: calls of lpstream.goal().',
    conversions UInt64 COMMENT 'Pageviews with a goal of any kind, each counted at its first goal.',
    sampled_out UInt64 COMMENT 'Sum of 1000 / rate - 1000 over events and pageviews: what sampling left out, in thousandths.'
) AS
WITH
(
    SELECT (groupArrayIf(object, step IN ('published', 'dropping', 'settled', 'restored')),
        groupUniqArrayArrayIf(partitions, step IN ('published', 'dropping')))
    FROM lpstream.tier_now
    WHERE source = 'heatmap_windows'
) AS tier
SELECT lp_id, window_start, toDate(window_start) AS utc_date, toDate(window_start, '{timezone}') AS day, device, pageviews, events, clicks, rage_clicks, dead_clicks, moves, scrolls, goals,
    goals_form, goals_tel, goals_mail, goals_outbound, goals_custom, conversions, sampled_out
FROM lpstream.heatmap_windows
WHERE _partition_id NOT IN tier.2
UNION ALL
SELECT lp_id, window_start, YYYYMMDDToDate(toUInt32OrZero(splitByChar('_', _table)[3])) AS utc_date, toDate(window_start, '{timezone}') AS day, device, pageviews, events, clicks, rage_clicks, dead_clicks, moves, scrolls, goals,
    goals_form, goals_tel, goals_mail, goals_outbound, goals_custom, conversions, sampled_out
FROM lpstream.warm_windows
WHERE has(tier.1, _table)
COMMENT 'heatmap_windows of all tiers: several rows of one key may be there, so always query with sum().';

CREATE OR REPLACE VIEW lpstream.tiered_views
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    page_w UInt32 COMMENT 'Width of the page, floored to 16 pixels.',
    page_h UInt32 COMMENT 'Height of the page, floored to 16 pixels.',
    viewport_w UInt32 COMMENT 'Width of the viewport, floored to 16 pixels.',
    viewport_h UInt32 COMMENT 'Height of the viewport, floored to 16 pixels.',
    pageviews UInt64 COMMENT 'Pageviews that began.'
) AS
WITH
(
    SELECT (groupArrayIf(object, step IN ('published', 'dropping', 'settled', 'restored')),
        groupUniqArrayArrayIf(partitions, step IN ('published', 'dropping')))
    FROM lpstream.tier_now
    WHERE source = 'heatmap_views'
) AS tier
SELECT lp_id, window_start, toDate(window_start) AS utc_date, toDate(window_start, '{timezone}') AS day, device, page_w, page_h, viewport_w, viewport_h, pageviews
FROM lpstream.heatmap_views
WHERE _partition_id NOT IN tier.2
UNION ALL
SELECT lp_id, window_start, YYYYMMDDToDate(toUInt32OrZero(splitByChar('_', _table)[3])) AS utc_date, toDate(window_start, '{timezone}') AS day, device, page_w, page_h, viewport_w, viewport_h, pageviews
FROM lpstream.warm_views
WHERE has(tier.1, _table)
COMMENT 'heatmap_views of all tiers: several rows of one key may be there, so always query with sum().';

CREATE OR REPLACE VIEW lpstream.tiered_elements
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    element LowCardinality(String) COMMENT 'The element''s name: its data-element or id, else its tag and place.',
    clicks UInt64 COMMENT 'Clicks of any kind on it: plain, rage and dead.',
    rage_clicks UInt64 COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 COMMENT 'Clicks without effect.'
) AS
WITH
(
    SELECT (groupArrayIf(object, step IN ('published', 'dropping', 'settled', 'restored')),
        groupUniqArrayArrayIf(partitions, step IN ('published', 'dropping')))
    FROM lpstream.tier_now
    WHERE source = 'heatmap_elements'
) AS tier
SELECT lp_id, window_start, toDate(window_start) AS utc_date, toDate(window_start, '{timezone}') AS day, device, element, clicks, rage_clicks, dead_clicks
FROM lpstream.heatmap_elements
WHERE _partition_id NOT IN tier.2
UNION ALL
SELECT lp_id, window_start, YYYYMMDDToDate(toUInt32OrZero(splitByChar('_', _table)[3])) AS utc_date, toDate(window_start, '{timezone}') AS day, device, element, clicks, rage_clicks, dead_clicks
FROM lpstream.warm_elements
WHERE has(tier.1, _table)
COMMENT 'heatmap_elements of all tiers: several rows of one key may be there, so always query with sum().';

CREATE OR REPLACE VIEW lpstream.click_map
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    kind Enum8('click' = 1, 'rage_click' = 2, 'dead_click' = 3, 'move' = 4) COMMENT 'Kind of event.',
    fixed UInt8 COMMENT '1 when x and y count from the viewport, for targets that do not scroll.',
    x UInt8 COMMENT 'Column, 0 to 127, of the page''s width (of the viewport''s where fixed).',
    y UInt16 COMMENT 'Row of 16 pixels, 0 to 4095.',
    hits UInt64 COMMENT 'Events.'
) AS
SELECT lp_id, window_start, utc_date, day, device, kind, fixed, x, y, hits
FROM lpstream.tiered_cells
WHERE kind != 'move'
COMMENT 'Clicks by cell. Several rows of one cell and window may be there: always query with sum().';

CREATE OR REPLACE VIEW lpstream.attention_map
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    fixed UInt8 COMMENT '1 when x and y count from the viewport, for targets that do not scroll.',
    x UInt8 COMMENT 'Column, 0 to 127, of the page''s width (of the viewport''s where fixed).',
    y UInt16 COMMENT 'Row of 16 pixels, 0 to 4095.',
    rests UInt64 COMMENT 'Pointer rests.',
    dwell_ms UInt64 COMMENT 'Milliseconds that the pointer rested.'
) AS
SELECT lp_id, window_start, utc_date, day, device, fixed, x, y, hits AS rests, dwell_ms
FROM lpstream.tiered_cells
WHERE kind = 'move'
COMMENT 'Pointer rests by cell and how long they lasted. Always query with sum().';

CREATE OR REPLACE VIEW lpstream.scroll_depth
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    band UInt16 COMMENT 'Band of 100 pixels from the top, 0 to 655.',
    from_px UInt32 COMMENT 'The band''s first pixel.',
    reached UInt64 COMMENT 'Pageviews that saw its first pixel for the first time.',
    exposure_ms UInt64 COMMENT 'Milliseconds that any of it was in view.'
) AS
SELECT lp_id, window_start, utc_date, day, device, band, toUInt32(band) * 100 AS from_px, reached, exposure_ms
FROM lpstream.tiered_scroll
COMMENT 'Pageviews that reached each band of 100 pixels, and how long it was in view. Always query with sum().';

CREATE OR REPLACE VIEW lpstream.section_funnel
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    section LowCardinality(String) COMMENT 'The section''s name.',
    reached UInt64 COMMENT 'Pageviews that saw its first pixel for the first time.',
    clicks UInt64 COMMENT 'Clicks of any kind: plain, rage and dead.',
    exposure_ms UInt64 COMMENT 'Milliseconds that any of it was in view.'
) AS
SELECT lp_id, window_start, utc_date, day, device, section, reached, clicks, exposure_ms
FROM lpstream.tiered_sections
COMMENT 'Reach, clicks and exposure by section. Always query with sum().';

CREATE OR REPLACE VIEW lpstream.element_clicks
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    element LowCardinality(String) COMMENT 'The element''s name: its data-element or id, else its tag and place.',
    clicks UInt64 COMMENT 'Clicks of any kind on it: plain, rage and dead.',
    rage_clicks UInt64 COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 COMMENT 'Clicks without effect.'
) AS
SELECT lp_id, window_start, utc_date, day, device, element, clicks, rage_clicks, dead_clicks
FROM lpstream.tiered_elements
COMMENT 'Clicks by the element that they hit. Always query with sum().';

CREATE OR REPLACE VIEW lpstream.lp_windows
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    hour UInt8 COMMENT 'Hour of window_start in the time zone {timezone}, 0 to 23.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    pageviews UInt64 COMMENT 'Pageviews that began.',
    events UInt64 COMMENT 'Events of any kind.',
    clicks UInt64 COMMENT 'Clicks of any kind: plain, rage and dead.',
    rage_clicks UInt64 COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 COMMENT 'Clicks without effect.',
    moves UInt64 COMMENT 'Pointer rests.',
    scrolls UInt64 COMMENT 'Scroll events.',
    goals UInt64 COMMENT 'Goals of any kind, each kind at most once a pageview.',
    goals_form UInt64 COMMENT 'Goals: forms sent.',
    goals_tel UInt64 COMMENT 'Goals: links to a phone number.',
    goals_mail UInt64 COMMENT 'Goals: links to a mail address.',
    goals_outbound UInt64 COMMENT 'Goals: links to another site.',
    goals_custom UInt64 COMMENT 'Goals: calls of lpstream.goal().',
    conversions UInt64 COMMENT 'Pageviews with a goal of any kind, each counted at its first goal.',
    scale Float64 COMMENT 'Mean of 1 / rate over the events and pageviews of the row. Counts times this include what sampling left out.',
    scaled_pageviews Float64 COMMENT 'Pageviews with those that sampling left out: each counts 1 / rate.',
    scaled_events Float64 COMMENT 'Events, each 1 / rate.',
    scaled_clicks Float64 COMMENT 'Clicks, each 1 / rate.',
    scaled_goals Float64 COMMENT 'Goals, each 1 / rate.',
    scaled_conversions Float64 COMMENT 'Conversions, each 1 / rate.'
) AS
SELECT lp_id, window_start, utc_date, day,
    toHour(window_start, '{timezone}') AS hour, device, pageviews, events, clicks, rage_clicks, dead_clicks, moves, scrolls, goals,
    goals_form, goals_tel, goals_mail, goals_outbound, goals_custom, conversions,
    1 + sampled_out / 1000 / greatest(events + pageviews, 1) AS scale, pageviews * scale AS scaled_pageviews,
    events * scale AS scaled_events, clicks * scale AS scaled_clicks, goals * scale AS scaled_goals,
    conversions * scale AS scaled_conversions
FROM lpstream.tiered_windows
COMMENT 'Totals by 5-second window. Always query with sum().';

CREATE OR REPLACE VIEW lpstream.page_sizes
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    window_start DateTime('UTC') COMMENT 'Start of the 5-second window of the event''s own time, UTC.',
    utc_date Date COMMENT 'Date of window_start, UTC. Ask by it: other days are then not opened.',
    day Date COMMENT 'Day of window_start in the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    page_w UInt32 COMMENT 'Width of the page, floored to 16 pixels.',
    page_h UInt32 COMMENT 'Height of the page, floored to 16 pixels.',
    viewport_w UInt32 COMMENT 'Width of the viewport, floored to 16 pixels.',
    viewport_h UInt32 COMMENT 'Height of the viewport, floored to 16 pixels.',
    pageviews UInt64 COMMENT 'Pageviews that began.'
) AS
SELECT lp_id, window_start, utc_date, day, device, page_w, page_h, viewport_w, viewport_h, pageviews
FROM lpstream.tiered_views
COMMENT 'Pageviews by sizes of page and viewport. Always query with sum().';

CREATE OR REPLACE VIEW lpstream.lp_daily
(
    lp_id LowCardinality(String) COMMENT 'The page: its lp_id.',
    day Date COMMENT 'Day of the time zone {timezone}.',
    device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3) COMMENT 'Kind of device: mobile, tablet or desktop.',
    pageviews UInt64 COMMENT 'Pageviews that began.',
    events UInt64 COMMENT 'Events of any kind.',
    clicks UInt64 COMMENT 'Clicks of any kind: plain, rage and dead.',
    rage_clicks UInt64 COMMENT 'Third and later clicks in a burst.',
    dead_clicks UInt64 COMMENT 'Clicks without effect.',
    moves UInt64 COMMENT 'Pointer rests.',
    scrolls UInt64 COMMENT 'Scroll events.',
    goals UInt64 COMMENT 'Goals of any kind, each kind at most once a pageview.',
    goals_form UInt64 COMMENT 'Goals: forms sent.',
    goals_tel UInt64 COMMENT 'Goals: links to a phone number.',
    goals_mail UInt64 COMMENT 'Goals: links to a mail address.',
    goals_outbound UInt64 COMMENT 'Goals: links to another site.',
    goals_custom UInt64 COMMENT 'Goals: calls of lpstream.goal().',
    conversions UInt64 COMMENT 'Pageviews with a goal of any kind, each counted at its first goal.',
    scaled_pageviews Float64 COMMENT 'Pageviews with those that sampling left out: each counts 1 / rate.',
    scaled_events Float64 COMMENT 'Events, each 1 / rate.',
    scaled_clicks Float64 COMMENT 'Clicks, each 1 / rate.',
    scaled_goals Float64 COMMENT 'Goals, each 1 / rate.',
    scaled_conversions Float64 COMMENT 'Conversions, each 1 / rate.'
) AS
SELECT lp_id, day, device, sum(w.pageviews) AS pageviews, sum(w.events) AS events,
    sum(w.clicks) AS clicks, sum(w.rage_clicks) AS rage_clicks, sum(w.dead_clicks) AS dead_clicks, sum(w.moves) AS moves,
    sum(w.scrolls) AS scrolls, sum(w.goals) AS goals, sum(w.goals_form) AS goals_form, sum(w.goals_tel) AS goals_tel,
    sum(w.goals_mail) AS goals_mail, sum(w.goals_outbound) AS goals_outbound, sum(w.goals_custom) AS goals_custom,
    sum(w.conversions) AS conversions, sum(w.scaled_pageviews) AS scaled_pageviews, sum(w.scaled_events) AS scaled_events,
    sum(w.scaled_clicks) AS scaled_clicks, sum(w.scaled_goals) AS scaled_goals, sum(w.scaled_conversions) AS scaled_conversions
FROM lpstream.lp_windows AS w
GROUP BY lp_id, day, device
COMMENT 'Totals by day of the time zone {timezone}.';
