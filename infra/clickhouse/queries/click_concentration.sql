-- Concentration of clicks
-- The number of cells with half of all clicks: a page with one message has few.
SELECT
    device,
    count() AS cells,
    sum(clicks) AS all_clicks,
    countIf(before < all_so_far / 2) AS cells_of_half,
    round(100 * cells_of_half / cells, 1) AS percent_of_cells
FROM
(
    SELECT
        device,
        sum(m.hits) AS clicks,
        sum(sum(m.hits)) OVER (PARTITION BY device) AS all_so_far,
        sum(sum(m.hits)) OVER (
            PARTITION BY device ORDER BY sum(m.hits) DESC, y, x ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) - clicks AS before
    FROM click_map AS m
    WHERE lp_id = {lp_id:String} AND day >= {from:Date} AND day < {to:Date}
        AND utc_date >= {from:Date} - 1 AND utc_date <= {to:Date} AND NOT fixed
    GROUP BY device, x, y
)
GROUP BY device
ORDER BY device
