-- Tokens with support sizes of every response, by base policy and layer.
SELECT seed AS base, layer, response_id, count(*) AS n
FROM attention
WHERE support_50 IS NOT NULL
GROUP BY ALL
ORDER BY ALL;
