-- What sampling left out, for each measure: pages with two rates may share a window, so that one factor for all is wrong.
-- Rows that workers of earlier releases write have only sampled_out, the sum over events and pageviews.
ALTER TABLE lpstream.heatmap_windows
    MODIFY COLUMN `countersMap.name` Array(Enum8('goals_form' = 1, 'goals_tel' = 2, 'goals_mail' = 3, 'goals_outbound' = 4, 'goals_custom' = 5, 'conversions' = 6, 'sampled_out' = 7, 'left_out_pageviews' = 8, 'left_out_events' = 9, 'left_out_clicks' = 10, 'left_out_rage_clicks' = 11, 'left_out_dead_clicks' = 12, 'left_out_moves' = 13, 'left_out_scrolls' = 14, 'left_out_goals' = 15, 'left_out_conversions' = 16)) COMMENT 'Names of the counters that are not 0: read the columns of these names instead.';

ALTER TABLE lpstream.heatmap_windows
    ADD COLUMN IF NOT EXISTS left_out_pageviews UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_pageviews')] COMMENT 'What sampling left out of pageviews, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_events UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_events')] COMMENT 'What sampling left out of events, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_clicks UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_clicks')] COMMENT 'What sampling left out of clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_rage_clicks UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_rage_clicks')] COMMENT 'What sampling left out of rage clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_dead_clicks UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_dead_clicks')] COMMENT 'What sampling left out of dead clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_moves UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_moves')] COMMENT 'What sampling left out of pointer rests, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_scrolls UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_scrolls')] COMMENT 'What sampling left out of scroll events, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_goals UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_goals')] COMMENT 'What sampling left out of goals, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_conversions UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_conversions')] COMMENT 'What sampling left out of conversions, in thousandths.';

ALTER TABLE lpstream.warm_windows
    ADD COLUMN IF NOT EXISTS left_out_pageviews UInt64 COMMENT 'What sampling left out of pageviews, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_events UInt64 COMMENT 'What sampling left out of events, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_clicks UInt64 COMMENT 'What sampling left out of clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_rage_clicks UInt64 COMMENT 'What sampling left out of rage clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_dead_clicks UInt64 COMMENT 'What sampling left out of dead clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_moves UInt64 COMMENT 'What sampling left out of pointer rests, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_scrolls UInt64 COMMENT 'What sampling left out of scroll events, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_goals UInt64 COMMENT 'What sampling left out of goals, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_conversions UInt64 COMMENT 'What sampling left out of conversions, in thousandths.';

ALTER TABLE lpstream.heatmap_elements
    ADD COLUMN IF NOT EXISTS `countersMap.name` Array(Enum8('left_out_clicks' = 1, 'left_out_rage_clicks' = 2, 'left_out_dead_clicks' = 3)) COMMENT 'Names of the counters that are not 0: read the columns of these names instead.',
    ADD COLUMN IF NOT EXISTS `countersMap.value` Array(UInt64) CODEC(ZSTD(1)) COMMENT 'Their values.',
    ADD COLUMN IF NOT EXISTS left_out_clicks UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_clicks')] COMMENT 'What sampling left out of clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_rage_clicks UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_rage_clicks')] COMMENT 'What sampling left out of rage clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_dead_clicks UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'left_out_dead_clicks')] COMMENT 'What sampling left out of dead clicks, in thousandths.';

ALTER TABLE lpstream.warm_elements
    ADD COLUMN IF NOT EXISTS left_out_clicks UInt64 COMMENT 'What sampling left out of clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_rage_clicks UInt64 COMMENT 'What sampling left out of rage clicks, in thousandths.',
    ADD COLUMN IF NOT EXISTS left_out_dead_clicks UInt64 COMMENT 'What sampling left out of dead clicks, in thousandths.';

-- Scrolling past a band or a section counts as reaching it, also when a page opens at a link to one of its parts.
ALTER TABLE lpstream.heatmap_scroll
    COMMENT COLUMN reached 'Pageviews that reached the band''s first pixel or passed it, each once.';

ALTER TABLE lpstream.warm_scroll
    COMMENT COLUMN reached 'Pageviews that reached the band''s first pixel or passed it, each once.';

ALTER TABLE lpstream.heatmap_sections
    COMMENT COLUMN reached 'Pageviews that reached its top or passed it, each once.';

ALTER TABLE lpstream.warm_sections
    COMMENT COLUMN reached 'Pageviews that reached its top or passed it, each once.';
