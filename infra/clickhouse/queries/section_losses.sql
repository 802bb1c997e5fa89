-- Losses from section to section
-- Sections in the order in which they are reached, and the share of pageviews that go on to each.
SELECT
    section,
    sum(f.reached) AS reached,
    lagInFrame(sum(f.reached), 1, sum(f.reached)) OVER (ORDER BY sum(f.reached) DESC, section) AS before,
    round(100 * reached / greatest(before, 1), 1) AS percent_that_go_on,
    round(sum(f.exposure_ms) / 1000 / greatest(reached, 1), 1) AS seconds_per_view
FROM section_funnel AS f
WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date}
GROUP BY section
ORDER BY reached DESC, section
