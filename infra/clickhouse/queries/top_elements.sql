-- Top elements
-- The most clicked elements of a page on each device, with their share of the clicks. What sampling left out is counted.
SELECT
    device,
    element,
    round(sum(e.scaled_clicks)) AS all_clicks,
    round(100 * sum(e.scaled_clicks) / sum(sum(e.scaled_clicks)) OVER (PARTITION BY device), 2) AS percent_of_clicks,
    round(sum(e.scaled_rage_clicks)) AS rage,
    round(sum(e.scaled_dead_clicks)) AS dead
FROM element_clicks AS e
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device, element
HAVING all_clicks > 0
ORDER BY all_clicks DESC, device, element
LIMIT 10 BY device
