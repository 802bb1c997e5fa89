-- Mobile against desktop
-- The same page on each kind of device: clicks, rage and goals per hundred pageviews.
SELECT
    device,
    round(sum(w.scaled_pageviews)) AS pageviews,
    round(100 * sum(w.scaled_clicks) / greatest(pageviews, 1), 1) AS clicks_per_100,
    round(100 * sum(w.scaled_rage_clicks) / greatest(pageviews, 1), 2) AS rage_per_100,
    round(100 * sum(w.scaled_dead_clicks) / greatest(pageviews, 1), 2) AS dead_per_100,
    round(100 * sum(w.scaled_goals) / greatest(pageviews, 1), 2) AS goals_per_100,
    round(sum(w.scaled_scrolls) / greatest(pageviews, 1), 1) AS scrolls_per_view
FROM lp_windows AS w
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY device
ORDER BY pageviews DESC
