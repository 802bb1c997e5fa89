-- Click-through by section
-- For the pageviews that reached the top of a section or passed it: clicks in it, and how long it was in view.
SELECT
    section,
    sum(f.reached) AS reached,
    sum(f.clicks) AS clicks,
    round(clicks / greatest(reached, 1), 3) AS clicks_per_view,
    round(sum(f.exposure_ms) / 1000 / greatest(reached, 1), 1) AS seconds_per_view
FROM section_funnel AS f
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY section
ORDER BY clicks_per_view DESC, section
