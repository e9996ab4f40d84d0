-- Every token that has a gradient, with its score at a layer, its covariates, and its part in the update.
-- Anchors and explorers: one stable sort of all tokens of a response by (score, position).
WITH whole AS (
    -- |g|^2 is the mean of <g_t, g> over all tokens.
    SELECT seed, avg(dot ORDER BY response_id, position) AS square FROM token_gradients GROUP BY seed
),
ranked AS (
    SELECT
        seed, layer, response_id, position, entropy_norm,
        row_number() OVER (PARTITION BY seed, layer, response_id ORDER BY entropy_norm, position) AS place,
        count(*) OVER (PARTITION BY seed, layer, response_id) AS n
    FROM attention
)
SELECT
    r.seed AS base, r.layer, r.response_id,
    r.entropy_norm AS attention,
    r.position / r.n AS place,
    t.predictive_entropy AS predictive,
    abs(t.advantage) AS loss,
    g.dot / w.square AS share,
    g.dot / (g.norm * sqrt(w.square)) AS cosine,
    r.place <= partition_size($p, r.n) AS anchor,
    r.place > r.n - partition_size($p, r.n) AS explorer
FROM ranked AS r
JOIN tokens AS t USING (seed, response_id, position)
JOIN token_gradients AS g USING (seed, response_id, position)
JOIN whole AS w USING (seed)
WHERE t.advantage <> 0 AND w.square > 0
ORDER BY r.seed, r.layer, r.response_id, r.position;
