-- Rage clicks
-- The places where visitors click repeatedly: an element there looks like a button, or reacts too slowly.
SELECT
    device,
    fixed,
    round(100 * (x + 0.5) / 128, 1) AS percent_of_width,
    toUInt32(y) * 16 AS from_px,
    sumIf(m.hits, kind = 'rage_click') AS rage,
    sum(m.hits) AS clicks
FROM click_map AS m
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device, fixed, x, y
HAVING rage > 0
ORDER BY rage DESC, clicks DESC, device, fixed, y, x
LIMIT 20
