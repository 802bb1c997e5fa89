-- Clicks that moved
-- Sections whose share of a page's clicks changed most between the days before and from a change.
WITH
    sumIf(f.clicks, day < {change:Date}) AS clicks_before,
    sumIf(f.clicks, day >= {change:Date}) AS clicks_after
SELECT
    section,
    clicks_before,
    clicks_after,
    round(100 * clicks_before / greatest(sum(clicks_before) OVER (), 1), 1) AS percent_before,
    round(100 * clicks_after / greatest(sum(clicks_after) OVER (), 1), 1) AS percent_after
FROM section_funnel AS f
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY section
ORDER BY abs(percent_after - percent_before) DESC, section
