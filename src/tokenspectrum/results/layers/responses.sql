-- Tokens of every response at a layer, by base policy, and the deepest layer of all.
SELECT base, response_id, max(n) AS n, max(max(layer)) OVER () AS deepest
FROM (SELECT seed AS base, response_id, layer, count(*) AS n FROM attention GROUP BY ALL)
GROUP BY base, response_id
ORDER BY base, response_id;
