-- Daily trend
-- Visits and goals by day, with the mean of the last seven days. Visits left out by sampling are included.
-- The mean is NULL where some of the seven days cannot be read: on Glacier, or older than 30 days and without visits.
WITH (SELECT groupArray(day) FROM tier_now WHERE source = 'heatmap_windows' AND step = 'cold') AS cold
SELECT
    day,
    round(views) AS pageviews,
    round(wins) AS goals,
    round(100 * goals / greatest(pageviews, 1), 2) AS goals_per_100,
    if(day - 6 < first OR arrayExists(n -> n BETWEEN day - 7 AND day, cold), NULL, round(week / 7, 1)) AS pageviews_7_days
FROM
(
    SELECT
        day,
        sum(d.scaled_pageviews) AS views,
        sum(d.scaled_goals) AS wins,
        sum(views) OVER (ORDER BY toUInt32(day) RANGE BETWEEN 6 PRECEDING AND CURRENT ROW) AS week,
        least(min(day) OVER () + 1, today() - 30) AS first
    FROM lp_windows AS d
    WHERE day >= {from:Date} - 6 AND day < {to:Date} AND ({lp_id:String} = '' OR lp_id = {lp_id:String})
        AND utc_date >= {from:Date} - 7 AND utc_date <= {to:Date}
    GROUP BY day
)
WHERE day >= {from:Date}
ORDER BY day
