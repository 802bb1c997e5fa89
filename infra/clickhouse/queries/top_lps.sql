-- Top landing pages
-- The most visited pages, with their clicks, goals and rage clicks. Visits left out by sampling are included.
SELECT
    lp_id,
    round(sum(d.scaled_pageviews)) AS pageviews,
    round(sum(d.scaled_clicks) / greatest(pageviews, 1), 2) AS clicks_per_view,
    round(100 * sum(d.scaled_goals) / greatest(pageviews, 1), 2) AS goals_per_100,
    round(100 * sum(d.scaled_rage_clicks) / greatest(pageviews, 1), 2) AS rage_per_100
FROM lp_windows AS d
WHERE day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY lp_id
ORDER BY pageviews DESC, lp_id
LIMIT 20
