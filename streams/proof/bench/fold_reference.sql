-- The same five tables by ClickHouse itself: parse once into memory, then one GROUP BY a table.
-- A statement ends with `;` and a line's end; {file} is the path of the beacons, a JSON document a line.
CREATE TABLE beacons ENGINE = Memory AS
SELECT *, least(greatest(page_h, 0), 65536) AS page_bottom, arrayEnumerate(dt) AS place
FROM file('{file}', JSONEachRow, 'lp_id LowCardinality(String), seq UInt32, device Enum8(\'mobile\' = 1, \'tablet\' = 2, \'desktop\' = 3),
    viewport_w Int64, viewport_h Int64, page_w Int64, page_h Int64, t0 Int64, depth Int64, type String, dt Array(Int64), x Array(Int64),
    y Array(Int64), dwell Array(Int64), fixed Array(UInt32), sections Array(Tuple(String, Int64, Int64))')
SETTINGS input_format_skip_unknown_fields = 1;

CREATE TABLE heatmap_cells ENGINE = Memory AS
SELECT lp_id, intDiv(t0 + d, 5000) AS window, device, k AS kind, f AS fixed,
    least(127, intDiv(128 * least(greatest(px, 0), 65535), if(f, viewport_w, page_w))) AS cx,
    intDiv(least(greatest(py, 0), 65535), 16) AS cy, count() AS hits, sum(dw) AS dwell_ms
FROM (
    SELECT lp_id, t0, device, viewport_w, page_w, k, d, px, py, dw, has(fixed, p - 1) AS f
    FROM beacons ARRAY JOIN splitByString('', type) AS k, dt AS d, x AS px, y AS py, dwell AS dw, place AS p
    WHERE k IN ('c', 'r', 'd', 'm')
)
GROUP BY ALL;

CREATE TABLE views ENGINE = Memory AS
SELECT lp_id, device, t0, dt AS d, py AS top, bottom, dwell AS dw, sections,
    greatest(depth, arrayMax(arraySlice(bottoms, 1, n - 1))) AS seen
FROM (
    SELECT lp_id, device, t0, depth, sections,
        arrayFilter((d, k) -> k = 's', dt, splitByString('', type)) AS ds,
        arrayFilter((v, k) -> k = 's', arrayMap(v -> least(greatest(v, 0), 65535), y), splitByString('', type)) AS tops,
        arrayFilter((v, k) -> k = 's', dwell, splitByString('', type)) AS dwells,
        arrayMap(v -> least(v + viewport_h, page_bottom), tops) AS bottoms, arrayEnumerate(tops) AS ns
    FROM beacons
)
ARRAY JOIN ds AS dt, tops AS py, dwells AS dwell, bottoms AS bottom, ns AS n
WHERE bottom > py;

CREATE TABLE heatmap_scroll ENGINE = Memory AS
SELECT lp_id, intDiv(t0 + d, 5000) AS window, device, band, sum(r) AS reached, sum(e) AS exposure_ms
FROM (
    SELECT lp_id, t0, d, device, band, 0 AS r, dw AS e
    FROM views ARRAY JOIN range(toUInt64(intDiv(top, 100)), toUInt64(intDiv(bottom - 1, 100) + 1)) AS band
    UNION ALL
    SELECT lp_id, t0, d, device, band, 1 AS r, 0 AS e
    FROM views ARRAY JOIN range(toUInt64(intDiv(seen + 99, 100)), toUInt64(greatest(intDiv(seen + 99, 100), intDiv(bottom + 99, 100)))) AS band
)
GROUP BY ALL HAVING reached + exposure_ms > 0;

CREATE TABLE heatmap_sections ENGINE = Memory AS
SELECT lp_id, intDiv(t0 + d, 5000) AS window, device, section, sum(c) AS clicks, sum(r) AS reached, sum(e) AS exposure_ms
FROM (
    SELECT lp_id, t0, d, device, s.1 AS section, 0 AS c, seen <= s.2 AND s.2 < bottom AS r,
        if(greatest(s.2, top) < least(s.3, bottom), dw, 0) AS e
    FROM views ARRAY JOIN sections AS s
    UNION ALL
    SELECT lp_id, t0, d, device, s.1 AS section, 1 AS c, 0 AS r, 0 AS e
    FROM (
        SELECT lp_id, t0, device, sections, d, py
        FROM beacons ARRAY JOIN splitByString('', type) AS k, dt AS d, y AS py, place AS p
        WHERE k IN ('c', 'r', 'd') AND NOT has(fixed, p - 1)
    )
    ARRAY JOIN sections AS s
    WHERE s.2 <= py AND py < s.3
)
GROUP BY ALL HAVING clicks + reached + exposure_ms > 0;

CREATE TABLE heatmap_windows ENGINE = Memory AS
SELECT lp_id, window, device, sum(v) AS pageviews, sum(n) AS events, sum(k IN ('c', 'r', 'd')) AS clicks, sum(k = 'r') AS rage_clicks,
    sum(k = 'd') AS dead_clicks, sum(k = 'm') AS moves, sum(k = 's') AS scrolls,
    sum(k IN ('g', 'f', 't', 'e', 'o')) AS goals, sum(k = 'v') AS conversions
FROM (
    SELECT lp_id, intDiv(t0 + d, 5000) AS window, device, 0 AS v, 1 AS n, k
    FROM beacons ARRAY JOIN splitByString('', type) AS k, dt AS d
    UNION ALL
    SELECT lp_id, intDiv(t0, 5000) AS window, device, 1 AS v, 0 AS n, '' AS k FROM beacons WHERE seq = 0
)
GROUP BY ALL;

CREATE TABLE heatmap_views ENGINE = Memory AS
SELECT lp_id, intDiv(t0, 5000) AS window, device, intDiv(page_w, 16) AS w, intDiv(page_bottom, 16) AS h,
    intDiv(viewport_w, 16) AS vw, intDiv(viewport_h, 16) AS vh, count() AS pageviews
FROM beacons WHERE seq = 0 GROUP BY ALL;
