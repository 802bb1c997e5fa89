-- Mobile against desktop
-- The same page on each kind of device: clicks, rage and goals per hundred pageviews.
SELECT
    device,
    sum(w.pageviews) AS pageviews,
    round(100 * sum(w.clicks) / greatest(pageviews, 1), 1) AS clicks_per_100,
    round(100 * sum(w.rage_clicks) / greatest(pageviews, 1), 2) AS rage_per_100,
    round(100 * sum(w.dead_clicks) / greatest(pageviews, 1), 2) AS dead_per_100,
    round(100 * sum(w.goals) / greatest(pageviews, 1), 2) AS goals_per_100,
    round(sum(w.scrolls) / greatest(pageviews, 1), 1) AS scrolls_per_view
FROM lp_windows AS w
WHERE lp_id = {lp_id:String} AND utc_date >= {from:Date} AND utc_date < {to:Date}
GROUP BY device
ORDER BY pageviews DESC
