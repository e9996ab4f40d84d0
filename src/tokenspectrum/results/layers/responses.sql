-- Tokens of every response, by base policy, wherever there are the most of it, and the deepest layer of all.
SELECT base, response_id, max(n) AS n, max(max(layer)) OVER () AS deepest
FROM (
    SELECT seed AS base, response_id, layer, count(*) AS n FROM attention GROUP BY ALL
    UNION ALL
    SELECT seed, response_id, NULL, count(*) FROM tokens GROUP BY seed, response_id
)
GROUP BY base, response_id
ORDER BY base, response_id;
