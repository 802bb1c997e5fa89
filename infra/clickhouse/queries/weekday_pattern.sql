-- Weekday pattern
-- The average day of each weekday; a day without visits counts as 0. Visits left out by sampling are included.
SELECT
    toDayOfWeek(day) AS weekday,
    arrayCount(n -> toDayOfWeek({from:Date} + n) = weekday, range(toUInt64(greatest({to:Date} - {from:Date}, 0)))) AS days,
    round(sum(views) / days, 1) AS pageviews_per_day,
    round(100 * sum(wins) / greatest(sum(views), 1), 2) AS goals_per_100
FROM
(
    SELECT day, sum(d.scaled_pageviews) AS views, sum(d.scaled_goals) AS wins
    FROM lp_windows AS d
    WHERE day >= {from:Date} AND day < {to:Date} AND ({lp_id:String} = '' OR lp_id = {lp_id:String})
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
    GROUP BY day
)
GROUP BY weekday
ORDER BY weekday
