-- Top elements
-- The most clicked elements of a page on each device, with their share of the clicks. What sampling left out is counted.
SELECT
    device,
    element,
    round(sum(e.clicks * w.scale)) AS all_clicks,
    round(100 * sum(e.clicks * w.scale) / sum(sum(e.clicks * w.scale)) OVER (PARTITION BY device), 2) AS percent_of_clicks,
    round(sum(e.rage_clicks * w.scale)) AS rage,
    round(sum(e.dead_clicks * w.scale)) AS dead
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
HAVING all_clicks > 0
ORDER BY all_clicks DESC, device, element
LIMIT 10 BY device
