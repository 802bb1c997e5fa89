-- Dead zones
-- Bands that are in view for long, but without clicks or pointer rests: candidates for removal.
SELECT
    from_px,
    round(sum(view_ms) / 1000) AS seconds_in_view,
    sum(hits) AS clicks_and_rests,
    round(1000 * clicks_and_rests / greatest(seconds_in_view, 1), 2) AS per_1000_seconds
FROM
(
    SELECT from_px, exposure_ms AS view_ms, 0 AS hits
    FROM scroll_depth
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
    UNION ALL
    SELECT intDiv(toUInt32(y) * 16, 100) * 100 AS from_px, 0 AS view_ms, hits
    FROM tiered_cells
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND NOT fixed
)
GROUP BY from_px
HAVING seconds_in_view > 0
ORDER BY per_1000_seconds, seconds_in_view DESC, from_px
LIMIT 20
