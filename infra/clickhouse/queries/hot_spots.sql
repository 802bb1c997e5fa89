-- Hot spots
-- The most clicked cells of a page on each device, and the share of clicks of each.
SELECT
    device,
    round(100 * (x + 0.5) / 128, 1) AS percent_of_width,
    toUInt32(y) * 16 AS from_px,
    sum(m.hits) AS clicks,
    round(100 * clicks / sum(sum(m.hits)) OVER (PARTITION BY device), 2) AS percent_of_clicks
FROM click_map AS m
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND NOT fixed
GROUP BY device, x, y
ORDER BY clicks DESC, device, y, x
LIMIT 10 BY device
