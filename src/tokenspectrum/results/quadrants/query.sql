-- The most frequent tokens of each quadrant, on each base policy and layer.
WITH cut AS (
    SELECT
        a.seed AS base, a.layer, v.text AS token,
        if(
            t.predictive_entropy > median(t.predictive_entropy) OVER (PARTITION BY a.seed, a.layer, a.response_id),
            'high', 'low'
        ) AS predictive,
        if(
            a.entropy_norm > median(a.entropy_norm) OVER (PARTITION BY a.seed, a.layer, a.response_id), 'high', 'low'
        ) AS attention
    FROM attention AS a
    JOIN tokens AS t USING (seed, response_id, position)
    JOIN vocab AS v USING (token_id)
),
counted AS (
    SELECT base, layer, predictive, attention, token, count(*) AS n FROM cut GROUP BY ALL
),
compared AS (
    SELECT
        *,
        sum(n) OVER (PARTITION BY base, layer, predictive, attention) AS quadrant,
        sum(n) OVER (PARTITION BY base, layer, token) AS everywhere,
        sum(n) OVER (PARTITION BY base, layer) AS whole,
        row_number() OVER (PARTITION BY base, layer, predictive, attention ORDER BY n DESC, token) AS place
    FROM counted
)
SELECT
    base, layer, predictive, attention, token, n AS count,
    n * whole / (everywhere * quadrant) AS over, quadrant::BIGINT AS tokens
FROM compared
WHERE place <= $listed
ORDER BY base, layer, predictive, attention, place;
