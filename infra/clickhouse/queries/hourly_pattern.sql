-- Hourly pattern
-- Visits and goals by hour of the day, over all days: the hours to advertise and to answer.
SELECT
    hour,
    round(sum(w.scaled_pageviews)) AS pageviews,
    round(sum(w.scaled_goals)) AS goals,
    round(100 * goals / greatest(pageviews, 1), 2) AS goals_per_100,
    bar(pageviews, 0, max(round(sum(w.scaled_pageviews))) OVER (), 30) AS visits
FROM lp_windows AS w
WHERE day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND ({lp_id:String} = '' OR lp_id = {lp_id:String})
GROUP BY hour
ORDER BY hour
