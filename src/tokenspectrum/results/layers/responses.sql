-- Scored tokens of every response, by base policy, and the deepest layer of all.
SELECT seed AS base, response_id, count(*) AS n, max(max(layer)) OVER () AS deepest
FROM attention
GROUP BY seed, response_id
ORDER BY seed, response_id;
