-- Tokens of every response of a base policy at a layer.
SELECT response_id, count(*) AS n
FROM attention
WHERE seed = $base AND layer = $layer
GROUP BY response_id
ORDER BY response_id;
