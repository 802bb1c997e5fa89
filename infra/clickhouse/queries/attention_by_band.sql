-- Attention by band
-- Pointer rests in bands of 100 pixels, and how long each band was in view: a high share of rests means reading.
SELECT
    from_px,
    sum(rest_ms) AS rest_ms,
    sum(view_ms) AS view_ms,
    round(100 * rest_ms / greatest(view_ms, 1), 2) AS rest_percent
FROM
(
    SELECT intDiv(toUInt32(y) * 16, 100) * 100 AS from_px, dwell_ms AS rest_ms, 0 AS view_ms
    FROM attention_map
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND NOT fixed
    UNION ALL
    SELECT from_px, 0 AS rest_ms, exposure_ms AS view_ms
    FROM scroll_depth
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
)
GROUP BY from_px
ORDER BY from_px
