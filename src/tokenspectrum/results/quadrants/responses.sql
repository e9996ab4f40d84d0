-- Tokens of every response, by base policy, wherever there are the most of it.
SELECT base, response_id, max(n) AS n
FROM (
    SELECT seed AS base, response_id, count(*) AS n FROM tokens GROUP BY ALL
    UNION ALL
    SELECT seed, response_id, count(*) FROM attention GROUP BY seed, response_id, layer
)
GROUP BY base, response_id
ORDER BY base, response_id;
