-- Heatmaps of all regions in one view, for analysts, on every replica of one region (cluster: config.d/regions.xml).
-- Each region returns its own hot and warm sums; `region` is its number in regions.xml. Apply with clickhouse-client as user
-- lpstream, and again after each `lpstream migrate`. Analysts need no REMOTE, which would let them reach any address.
CREATE DATABASE IF NOT EXISTS lpstream_all ON CLUSTER '{cluster}' COMMENT 'The views of lpstream over all regions';

CREATE OR REPLACE TABLE lpstream_all.regions_click_map ON CLUSTER '{cluster}' AS lpstream.click_map
ENGINE = Distributed('lpstream_regions', 'lpstream', 'click_map');
CREATE OR REPLACE VIEW lpstream_all.click_map ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_click_map;

CREATE OR REPLACE TABLE lpstream_all.regions_attention_map ON CLUSTER '{cluster}' AS lpstream.attention_map
ENGINE = Distributed('lpstream_regions', 'lpstream', 'attention_map');
CREATE OR REPLACE VIEW lpstream_all.attention_map ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_attention_map;

CREATE OR REPLACE TABLE lpstream_all.regions_scroll_depth ON CLUSTER '{cluster}' AS lpstream.scroll_depth
ENGINE = Distributed('lpstream_regions', 'lpstream', 'scroll_depth');
CREATE OR REPLACE VIEW lpstream_all.scroll_depth ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_scroll_depth;

CREATE OR REPLACE TABLE lpstream_all.regions_section_funnel ON CLUSTER '{cluster}' AS lpstream.section_funnel
ENGINE = Distributed('lpstream_regions', 'lpstream', 'section_funnel');
CREATE OR REPLACE VIEW lpstream_all.section_funnel ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_section_funnel;

CREATE OR REPLACE TABLE lpstream_all.regions_element_clicks ON CLUSTER '{cluster}' AS lpstream.element_clicks
ENGINE = Distributed('lpstream_regions', 'lpstream', 'element_clicks');
CREATE OR REPLACE VIEW lpstream_all.element_clicks ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_element_clicks;

CREATE OR REPLACE TABLE lpstream_all.regions_lp_windows ON CLUSTER '{cluster}' AS lpstream.lp_windows
ENGINE = Distributed('lpstream_regions', 'lpstream', 'lp_windows');
CREATE OR REPLACE VIEW lpstream_all.lp_windows ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_lp_windows;

CREATE OR REPLACE TABLE lpstream_all.regions_page_sizes ON CLUSTER '{cluster}' AS lpstream.page_sizes
ENGINE = Distributed('lpstream_regions', 'lpstream', 'page_sizes');
CREATE OR REPLACE VIEW lpstream_all.page_sizes ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_page_sizes;

CREATE OR REPLACE TABLE lpstream_all.regions_lp_daily ON CLUSTER '{cluster}' AS lpstream.lp_daily
ENGINE = Distributed('lpstream_regions', 'lpstream', 'lp_daily');
CREATE OR REPLACE VIEW lpstream_all.lp_daily ON CLUSTER '{cluster}' AS
SELECT _shard_num AS region, * FROM lpstream_all.regions_lp_daily;
