-- Dead elements
-- The elements on which clicks have no effect, or are repeated in a burst. What sampling left out is counted.
SELECT
    device,
    element,
    round(sum(e.scaled_dead_clicks)) AS dead,
    round(sum(e.scaled_rage_clicks)) AS rage,
    round(sum(e.scaled_clicks)) AS all_clicks,
    round(100 * sum(e.scaled_dead_clicks + e.scaled_rage_clicks) / sum(e.scaled_clicks), 1) AS percent_of_its_clicks
FROM element_clicks AS e
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device, element
HAVING dead + rage > 0
ORDER BY dead + rage DESC, all_clicks, device, element
LIMIT 20
