-- Reading depth
-- The depth that a quarter, half and three quarters of the pageviews reach at least, by device, in steps of 100 pixels.
SELECT
    device,
    maxIf(from_px, reached >= 0.75 * most) AS px_of_75_percent,
    maxIf(from_px, reached >= 0.5 * most) AS px_of_50_percent,
    maxIf(from_px, reached >= 0.25 * most) AS px_of_25_percent
FROM
(
    SELECT device, from_px, sum(s.reached) AS reached, max(sum(s.reached)) OVER (PARTITION BY device) AS most
    FROM scroll_depth AS s
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
    GROUP BY device, from_px
)
GROUP BY device
ORDER BY device
