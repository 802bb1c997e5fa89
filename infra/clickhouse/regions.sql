-- Heatmaps of all regions in one view, for analysts, on the read replicas of one region (cluster: config.d/regions.xml).
-- Each region returns its own hot and warm sums; `region` names it. Apply once with clickhouse-client as writer.
CREATE DATABASE IF NOT EXISTS lpstream_all COMMENT 'The views of lpstream over all regions';

CREATE OR REPLACE VIEW lpstream_all.click_map AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.click_map);

CREATE OR REPLACE VIEW lpstream_all.attention_map AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.attention_map);

CREATE OR REPLACE VIEW lpstream_all.scroll_depth AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.scroll_depth);

CREATE OR REPLACE VIEW lpstream_all.section_funnel AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.section_funnel);

CREATE OR REPLACE VIEW lpstream_all.element_clicks AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.element_clicks);

CREATE OR REPLACE VIEW lpstream_all.lp_windows AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.lp_windows);

CREATE OR REPLACE VIEW lpstream_all.page_sizes AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.page_sizes);

CREATE OR REPLACE VIEW lpstream_all.lp_daily AS
SELECT _shard_num AS region, * FROM cluster('lpstream_regions', lpstream.lp_daily);
