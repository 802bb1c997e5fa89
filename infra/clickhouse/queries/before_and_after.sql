-- Before and after a change
-- Conversions per pageview before and from the day of a change; |z| over 1.96 happens by chance in one case of twenty.
WITH
    sumIf(w.pageviews, day < {change:Date}) AS views_before,
    sumIf(w.pageviews, day >= {change:Date}) AS views_after,
    sumIf(w.conversions, day < {change:Date}) AS conversions_before,
    sumIf(w.conversions, day >= {change:Date}) AS conversions_after,
    conversions_before / greatest(views_before, 1) AS rate_before,
    conversions_after / greatest(views_after, 1) AS rate_after,
    (conversions_before + conversions_after) / greatest(views_before + views_after, 1) AS rate,
    sqrt(rate * (1 - least(rate, 1)) * (1 / greatest(views_before, 1) + 1 / greatest(views_after, 1))) AS deviation
SELECT
    device,
    views_before,
    views_after,
    round(100 * rate_before, 2) AS conversions_per_100_before,
    round(100 * rate_after, 2) AS conversions_per_100_after,
    if(deviation = 0, 0, round((rate_after - rate_before) / deviation, 2)) AS z
FROM lp_windows AS w
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device
ORDER BY device
