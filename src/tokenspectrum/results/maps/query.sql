-- The attention rows of one anchor and one explorer of a response of each base policy, over the tokens that they see.
-- Only responses that have rows are ranked: they are few, and a probe may have millions.
WITH ranked AS (
    SELECT
        seed, response_id, position, entropy_norm,
        row_number() OVER (PARTITION BY seed, response_id ORDER BY entropy_norm, position) AS place,
        count(*) OVER (PARTITION BY seed, response_id) AS n
    FROM attention
    WHERE
        layer = $layer AND response_id IN (SELECT response_id FROM attention_rows WHERE attention_rows.layer = $layer)
),
parted AS (
    SELECT
        *,
        CASE
            WHEN place <= partition_size($p, n) THEN 'anchor'
            WHEN place > n - partition_size($p, n) THEN 'explorer'
        END AS part
    FROM ranked
),
kept AS (
    SELECT k.seed, k.response_id, k.position, k.part, k.entropy_norm, w."row" AS weights
    FROM parted AS k
    JOIN attention_rows AS w USING (seed, response_id, position)
    WHERE w.layer = $layer AND k.part IS NOT NULL
),
-- The first response of which both are there, and of each part the row that is farthest out.
chosen AS (
    SELECT seed, min(response_id) AS response_id
    FROM (SELECT seed, response_id FROM kept GROUP BY seed, response_id HAVING count(DISTINCT part) = 2)
    GROUP BY seed
),
taken AS (
    SELECT kept.*
    FROM kept
    JOIN chosen USING (seed, response_id)
    QUALIFY row_number() OVER (
        PARTITION BY kept.seed, part ORDER BY if(part = 'anchor', 1, -1) * entropy_norm, position
    ) = 1
),
-- Every token that a row may see: the prompt's, then the response's.
seen AS (
    SELECT r.seed, r.response_id, r.n_prompt, unnest(range(len(p.token_ids))) AS at, unnest(p.token_ids) AS token_id
    FROM responses AS r
    JOIN chosen AS c USING (seed, response_id)
    JOIN prompt_tokens AS p USING (seed, prompt_id)
    UNION ALL
    SELECT t.seed, t.response_id, r.n_prompt, r.n_prompt + t.position, t.token_id
    FROM tokens AS t
    JOIN chosen AS c USING (seed, response_id)
    JOIN responses AS r USING (seed, response_id)
)
SELECT
    taken.seed AS base, $layer::INTEGER AS layer, taken.response_id AS response, taken.part, taken.position,
    own.text AS token, taken.entropy_norm::DOUBLE AS entropy, s.at, s.n_prompt AS prompt, v.text AS there,
    taken.weights[s.at + 1]::DOUBLE AS weight
FROM taken
JOIN seen AS s ON s.seed = taken.seed AND s.at < len(taken.weights)
JOIN vocab AS v ON v.token_id = s.token_id
JOIN tokens AS t ON t.seed = taken.seed AND t.response_id = taken.response_id AND t.position = taken.position
JOIN vocab AS own ON own.token_id = t.token_id
ORDER BY taken.seed, taken.part, s.at;
