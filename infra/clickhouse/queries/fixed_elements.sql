-- Fixed elements
-- The share of clicks on elements that do not scroll, such as a bar with a button or a chat bubble.
SELECT
    device,
    sum(m.hits) AS clicks,
    sumIf(m.hits, fixed = 1) AS on_fixed,
    round(100 * on_fixed / greatest(clicks, 1), 1) AS percent
FROM click_map AS m
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device
ORDER BY device
