-- Daily trend
-- Visits and goals by day, with the mean of seven days. Visits left out by sampling are included.
SELECT
    day,
    round(sum(d.scaled_pageviews)) AS pageviews,
    round(sum(d.scaled_goals)) AS goals,
    round(100 * goals / greatest(pageviews, 1), 2) AS goals_per_100,
    round(avg(sum(d.scaled_pageviews)) OVER (ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW), 1) AS pageviews_7_days
FROM lp_windows AS d
WHERE day >= {from:Date} AND day < {to:Date} AND ({lp_id:String} = '' OR lp_id = {lp_id:String})
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY day
ORDER BY day
