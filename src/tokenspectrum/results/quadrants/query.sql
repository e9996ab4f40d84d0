-- The most frequent tokens of each quadrant, on each base policy and layer.
WITH named AS (
    SELECT c.base, c.layer, c.predictive, c.attention, v.text AS token, sum(c.n) AS n
    FROM counted AS c
    JOIN vocab AS v USING (token_id)
    GROUP BY ALL
),
compared AS (
    SELECT
        *,
        sum(n) OVER (PARTITION BY base, layer, predictive, attention) AS quadrant,
        sum(n) OVER (PARTITION BY base, layer, token) AS everywhere,
        sum(n) OVER (PARTITION BY base, layer) AS whole,
        row_number() OVER (PARTITION BY base, layer, predictive, attention ORDER BY n DESC, token) AS place
    FROM named
)
SELECT
    base, layer, predictive, attention, token, n::BIGINT AS count,
    n * whole / (everywhere * quadrant) AS over, quadrant::BIGINT AS tokens
FROM compared
WHERE place <= $listed
ORDER BY base, layer, predictive, attention, place;
