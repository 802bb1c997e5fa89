-- Counters that are 0 in most windows: goals by kind, conversions, and pageviews left out by sampling.
-- A SummingMergeTree sums nested columns whose name ends in Map by their first column, also columns that were added later.
-- Queries read them through the ALIAS columns.
ALTER TABLE lpstream.heatmap_windows
    ADD COLUMN IF NOT EXISTS `countersMap.name` Array(Enum8('goals_form' = 1, 'goals_tel' = 2, 'goals_mail' = 3, 'goals_outbound' = 4, 'goals_custom' = 5, 'conversions' = 6, 'sampled_out' = 7)) COMMENT 'Names of the counters that are not 0: read the columns of these names instead.',
    ADD COLUMN IF NOT EXISTS `countersMap.value` Array(UInt64) CODEC(ZSTD(1)) COMMENT 'Their values.',
    ADD COLUMN IF NOT EXISTS goals_form UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'goals_form')] COMMENT 'Goals: forms sent.',
    ADD COLUMN IF NOT EXISTS goals_tel UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'goals_tel')] COMMENT 'Goals: links to a phone number.',
    ADD COLUMN IF NOT EXISTS goals_mail UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'goals_mail')] COMMENT 'Goals: links to a mail address.',
    ADD COLUMN IF NOT EXISTS goals_outbound UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'goals_outbound')] COMMENT 'Goals: links to another site.',
    ADD COLUMN IF NOT EXISTS goals_custom UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'goals_custom')] COMMENT 'Goals: calls of lpstream.goal().',
    ADD COLUMN IF NOT EXISTS conversions UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'conversions')] COMMENT 'Pageviews with a goal of any kind, each counted at its first goal.',
    ADD COLUMN IF NOT EXISTS sampled_out UInt64 ALIAS countersMap.value[indexOf(countersMap.name, 'sampled_out')] COMMENT 'Sum of 1000 / rate - 1000 over events and pageviews: what sampling left out, in thousandths.';

ALTER TABLE lpstream.warm_windows
    ADD COLUMN IF NOT EXISTS goals_form UInt64 COMMENT 'Goals: forms sent.',
    ADD COLUMN IF NOT EXISTS goals_tel UInt64 COMMENT 'Goals: links to a phone number.',
    ADD COLUMN IF NOT EXISTS goals_mail UInt64 COMMENT 'Goals: links to a mail address.',
    ADD COLUMN IF NOT EXISTS goals_outbound UInt64 COMMENT 'Goals: links to another site.',
    ADD COLUMN IF NOT EXISTS goals_custom UInt64 COMMENT 'Goals: calls of lpstream.goal().',
    ADD COLUMN IF NOT EXISTS conversions UInt64 COMMENT 'Pageviews with a goal of any kind.',
    ADD COLUMN IF NOT EXISTS sampled_out UInt64 COMMENT 'What sampling left out, in thousandths.';
