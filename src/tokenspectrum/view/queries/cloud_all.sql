-- The same where no filter is set: nothing to look up.
SELECT column_x AS x, column_y AS y, count(*) AS n
FROM packed
GROUP BY column_x, column_y
