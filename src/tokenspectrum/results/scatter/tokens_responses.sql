-- Tokens of every response of a base policy.
SELECT response_id, count(*) AS n
FROM tokens
WHERE seed = $base
GROUP BY response_id
ORDER BY response_id;
