-- The analysts' views. Applied anew by every migration: the time zone of days is a setting.
CREATE OR REPLACE VIEW lpstream.click_map AS
SELECT lp_id, window_start, device, kind, fixed, x, y, sum(hits) AS hits
FROM lpstream.heatmap_cells
WHERE kind != 'move'
GROUP BY lp_id, window_start, device, kind, fixed, x, y
COMMENT 'Clicks by cell: columns of heatmap_cells, without pointer rests.';

CREATE OR REPLACE VIEW lpstream.attention_map AS
SELECT lp_id, window_start, device, fixed, x, y, sum(hits) AS rests, sum(dwell_ms) AS dwell_ms
FROM lpstream.heatmap_cells
WHERE kind = 'move'
GROUP BY lp_id, window_start, device, fixed, x, y
COMMENT 'Pointer rests by cell and how long they lasted.';

CREATE OR REPLACE VIEW lpstream.scroll_depth AS
SELECT lp_id, window_start, device, band, toUInt32(band) * 100 AS from_px, sum(reached) AS reached,
    sum(exposure_ms) AS exposure_ms
FROM lpstream.heatmap_scroll
GROUP BY lp_id, window_start, device, band
COMMENT 'Pageviews that reached each band of 100 pixels, and how long it was in view.';

CREATE OR REPLACE VIEW lpstream.section_funnel AS
SELECT lp_id, window_start, device, section, sum(reached) AS reached, sum(clicks) AS clicks,
    sum(exposure_ms) AS exposure_ms
FROM lpstream.heatmap_sections
GROUP BY lp_id, window_start, device, section
COMMENT 'Reach, clicks and exposure by section.';

CREATE OR REPLACE VIEW lpstream.lp_daily AS
SELECT lp_id, toDate(window_start, '{timezone}') AS day, device, sum(pageviews) AS pageviews, sum(events) AS events,
    sum(clicks) AS clicks, sum(rage_clicks) AS rage_clicks, sum(dead_clicks) AS dead_clicks, sum(moves) AS moves,
    sum(scrolls) AS scrolls, sum(goals) AS goals
FROM lpstream.heatmap_windows
GROUP BY lp_id, day, device
COMMENT 'Totals by day of the time zone {timezone}.';
