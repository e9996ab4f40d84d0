-- Shares of the tokens, of the update and of the change of accuracy, by kind of token, on each base policy.
-- Position: fifths of the response.  Attention decile: edges floor(d T / 10) of one stable ascending sort within a
-- response.  Predictive decile: the same over all tokens of the base policy.  No share of a sum of 0.
WITH ranked AS (
    SELECT
        a.seed AS base, a.response_id, a.position,
        row_number() OVER (
            PARTITION BY a.seed, a.response_id
            ORDER BY CASE $score WHEN 'entropy_norm' THEN a.entropy_norm ELSE a.entropy_raw END, a.position
        ) - 1 AS place,
        count(*) OVER (PARTITION BY a.seed, a.response_id) AS n
    FROM attention AS a
    WHERE a.layer = (SELECT max(g.layer) FROM gradients AS g WHERE g.subset = 'decile0')
),
described AS (
    SELECT
        g.seed AS base, g.dot, g.accuracy_dot, v.type,
        5 * g.position // r.n AS fifth,
        (10 * r.place + 9) // r.n AS attention_decile,
        (10 * (row_number() OVER (
            PARTITION BY g.seed ORDER BY t.predictive_entropy, g.response_id, g.position
        ) - 1) + 9) // count(*) OVER (PARTITION BY g.seed) AS predictive_decile,
        g.response_id, g.position
    FROM token_gradients AS g
    JOIN tokens AS t USING (seed, response_id, position)
    JOIN vocab AS v USING (token_id)
    JOIN ranked AS r ON r.base = g.seed AND r.response_id = g.response_id AND r.position = g.position
),
grouped AS (
    SELECT
        d.*,
        unnest(['type', 'position', 'attention decile', 'predictive decile']) AS kind,
        unnest([
            d.type,
            ['first fifth', 'second fifth', 'third fifth', 'fourth fifth', 'last fifth'][d.fifth + 1],
            d.attention_decile::VARCHAR,
            d.predictive_decile::VARCHAR
        ]) AS "group",
        unnest([0, d.fifth, d.attention_decile, d.predictive_decile]) AS rank
    FROM described AS d
),
summed AS (
    SELECT
        base, kind, "group", rank,
        count(*) AS n,
        sum(dot ORDER BY response_id, position) AS dot,
        sum(accuracy_dot ORDER BY response_id, position) AS accuracy_dot
    FROM grouped
    GROUP BY base, kind, "group", rank
)
SELECT
    base, kind, "group",
    100 * n / sum(n) OVER every AS tokens,
    100 * dot / nullif(sum(dot) OVER every, 0) AS "update",
    100 * accuracy_dot / nullif(sum(accuracy_dot) OVER every, 0) AS accuracy
FROM summed
WINDOW every AS (PARTITION BY base, kind ORDER BY rank, "group" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
ORDER BY base, list_position(['type', 'position', 'attention decile', 'predictive decile'], kind), rank, "group";
