-- Above the fold
-- The share of clicks, pointer rests and viewing time above the end of a screen of the median height, by device.
WITH folds AS
(
    SELECT device, quantileExactWeighted(0.5)(viewport_h, pageviews) AS fold
    FROM page_sizes
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
    GROUP BY device
)
SELECT
    device,
    any(fold) AS fold_px,
    round(100 * sumIf(clicks, px < fold) / greatest(sum(clicks), 1), 1) AS clicks_percent,
    round(100 * sumIf(rest_ms, px < fold) / greatest(sum(rest_ms), 1), 1) AS rest_percent,
    round(100 * sumIf(view_ms, px < fold) / greatest(sum(view_ms), 1), 1) AS view_percent
FROM
(
    SELECT device, toUInt32(y) * 16 AS px, if(kind = 'move', 0, hits) AS clicks, dwell_ms AS rest_ms, 0 AS view_ms
    FROM tiered_cells
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND NOT fixed
    UNION ALL
    SELECT device, from_px AS px, 0 AS clicks, 0 AS rest_ms, exposure_ms AS view_ms
    FROM scroll_depth
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
) AS seen
INNER JOIN folds USING (device)
GROUP BY device
ORDER BY device
