-- Busiest moments
-- The five-second windows with the most events: the peak load of the pipeline.
SELECT
    window_start,
    sum(w.events) AS events,
    sum(w.pageviews) AS pageviews_begun,
    uniqExact(lp_id) AS pages
FROM lp_windows AS w
WHERE day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY window_start
ORDER BY events DESC, window_start
LIMIT 20
