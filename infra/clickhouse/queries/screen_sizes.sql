-- Screen sizes
-- The viewport sizes of the pageviews of a page.
SELECT
    device,
    viewport_w,
    viewport_h,
    sum(p.pageviews) AS pageviews,
    round(100 * pageviews / sum(sum(p.pageviews)) OVER (), 1) AS percent
FROM page_sizes AS p
WHERE day >= {from:Date} AND day < {to:Date}
    AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND ({lp_id:String} = '' OR lp_id = {lp_id:String})
GROUP BY device, viewport_w, viewport_h
ORDER BY pageviews DESC, device, viewport_w, viewport_h
LIMIT 20
