-- Hourly pattern
-- Visits and goals by hour of the day in Tokyo, over all days: the hours to advertise and to answer.
SELECT
    toHour(window_start, 'Asia/Tokyo') AS hour,
    sum(w.pageviews) AS pageviews,
    sum(w.goals) AS goals,
    round(100 * goals / greatest(pageviews, 1), 2) AS goals_per_100,
    bar(pageviews, 0, max(sum(w.pageviews)) OVER (), 30) AS visits
FROM lp_windows AS w
WHERE utc_date >= {from:Date} AND utc_date < {to:Date} AND ({lp_id:String} = '' OR lp_id = {lp_id:String})
GROUP BY hour
ORDER BY hour
