-- How many tokens of the matching responses fall into each pair of bins.
SELECT column_x AS x, column_y AS y, count(*) AS n
FROM packed
WHERE r IN (SELECT r FROM matching)
GROUP BY column_x, column_y
