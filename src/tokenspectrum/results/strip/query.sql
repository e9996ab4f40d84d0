-- The tokens of one response of each base policy.  __init__.py has the rule that chooses it.
WITH mixed AS (
    SELECT seed, prompt_id FROM responses GROUP BY seed, prompt_id HAVING min(correct) < max(correct)
),
eligible AS (
    SELECT
        r.seed, r.response_id, r.n_tokens,
        r.correct AND m.prompt_id IS NOT NULL AS wanted,
        max(r.correct AND m.prompt_id IS NOT NULL) OVER (PARTITION BY r.seed) AS any_wanted
    FROM responses AS r
    LEFT JOIN mixed AS m USING (seed, prompt_id)
),
placed AS (
    SELECT
        seed, response_id,
        if(any_wanted, 'right', 'all') AS among,
        row_number() OVER (PARTITION BY seed ORDER BY n_tokens, response_id) AS place,
        count(*) OVER (PARTITION BY seed) AS n
    FROM eligible
    WHERE wanted OR NOT any_wanted
),
chosen AS (
    SELECT seed, response_id, among FROM placed WHERE place = (n + 1) // 2
),
shown AS (
    SELECT
        a.seed AS base, a.layer, a.response_id AS response, c.among, a.position, v.text AS token,
        a.entropy_norm AS attention, t.predictive_entropy AS predictive,
        row_number() OVER (PARTITION BY a.seed ORDER BY a.entropy_norm, a.position) AS place,
        count(*) OVER (PARTITION BY a.seed) AS n
    FROM attention AS a
    JOIN chosen AS c USING (seed, response_id)
    JOIN tokens AS t USING (seed, response_id, position)
    JOIN vocab AS v USING (token_id)
    WHERE a.layer = $layer
)
SELECT
    base, layer, response, among, position, token, attention::DOUBLE AS attention, predictive::DOUBLE AS predictive,
    CASE
        WHEN place <= partition_size($p, n) THEN 'anchor'
        WHEN place > n - partition_size($p, n) THEN 'explorer'
        ELSE 'neither'
    END AS part
FROM shown
ORDER BY base, position;
