-- Dead clicks
-- The places where clicks have no effect, although visitors expect one.
SELECT
    device,
    round(100 * (x + 0.5) / 128, 1) AS percent_of_width,
    toUInt32(y) * 16 AS from_px,
    sumIf(m.hits, kind = 'dead_click') AS dead,
    sum(m.hits) AS clicks,
    round(100 * dead / clicks, 1) AS dead_percent
FROM click_map AS m
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND NOT fixed
GROUP BY device, x, y
HAVING dead > 0
ORDER BY dead DESC, clicks, device, y, x
LIMIT 20
