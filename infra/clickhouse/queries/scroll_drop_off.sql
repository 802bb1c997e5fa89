-- Scroll drop-off
-- The pageviews that reach each band of 100 pixels or pass it, and the share that each band loses.
WITH (
    SELECT sum(pageviews) FROM lp_windows
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
) AS pageviews
SELECT
    from_px,
    sum(s.reached) AS reached,
    round(100 * reached / greatest(pageviews, 1), 1) AS percent_of_pageviews,
    lagInFrame(toInt64(reached), 1, toInt64(reached)) OVER (ORDER BY from_px) - toInt64(reached) AS lost_here
FROM scroll_depth AS s
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY from_px
ORDER BY from_px
