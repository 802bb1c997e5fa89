-- Short of two screens
-- The share of pageviews that never came as far as two screens of the median height. A taller screen shows more without
-- scrolling, so compare times and pages, not devices. NULL where half of the pages are shorter.
WITH screens AS
(
    SELECT
        device,
        intDiv(2 * quantileExactWeighted(0.5)(viewport_h, pageviews), 100) AS deep,
        quantileExactWeighted(0.5)(page_h, pageviews) AS height,
        sum(p.pageviews) AS views
    FROM page_sizes AS p
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
    GROUP BY device
)
SELECT
    device,
    any(deep) * 100 AS px,
    any(views) AS pageviews,
    sumIf(s.reached, band = deep) AS came_to_px,
    if(any(height) <= px, NULL, round(100 * (1 - came_to_px / greatest(pageviews, 1)), 1)) AS percent_short_of_px
FROM scroll_depth AS s
INNER JOIN screens USING (device)
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device
ORDER BY device
