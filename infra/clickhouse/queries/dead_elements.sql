-- Dead elements
-- The elements on which clicks have no effect, or are repeated in a burst. What sampling left out is counted.
SELECT
    device,
    element,
    round(sum(e.dead_clicks * w.scale)) AS dead,
    round(sum(e.rage_clicks * w.scale)) AS rage,
    round(sum(e.clicks * w.scale)) AS all_clicks,
    round(100 * sum((e.dead_clicks + e.rage_clicks) * w.scale) / sum(e.clicks * w.scale), 1) AS percent_of_its_clicks
FROM element_clicks AS e
INNER JOIN
(
    SELECT device, window_start, sum(scaled_events) / sum(events) AS scale
    FROM lp_windows
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
    GROUP BY device, window_start
    HAVING sum(events) > 0
) AS w USING (device, window_start)
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device, element
HAVING dead + rage > 0
ORDER BY dead + rage DESC, all_clicks, device, element
LIMIT 20
