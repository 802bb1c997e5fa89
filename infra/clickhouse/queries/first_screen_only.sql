-- First screen only
-- The share of pageviews that never scroll down a full screen.
WITH screens AS
(
    SELECT device, toUInt32(quantileExactWeighted(0.5)(viewport_h, pageviews)) AS fold, sum(p.pageviews) AS views
    FROM page_sizes AS p
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
    GROUP BY device
)
SELECT
    device,
    any(fold) AS fold_px,
    any(views) AS pageviews,
    sumIf(s.reached, intDiv(fold * 2, 100) = band) AS second_screen,
    round(100 * (1 - second_screen / greatest(pageviews, 1)), 1) AS first_screen_only_percent
FROM scroll_depth AS s
INNER JOIN screens USING (device)
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device
ORDER BY device
