-- Mean and spread of each entropy in each group of each run, seed and step at one layer.
-- k = max(1, floor(p T + 0.5)) of a response's T tokens: one stable ascending sort by (score, position).
WITH scored AS (
    SELECT
        run, seed, step, response_id, position, entropy_norm, entropy_raw, entropy_topk, entropy_fixed,
        CASE $score WHEN 'entropy_norm' THEN entropy_norm ELSE entropy_raw END AS ranked_by
    FROM attention
    WHERE layer = $layer AND (NOT $sampled OR entropy_topk IS NOT NULL)
),
placed AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY run, seed, step, response_id ORDER BY ranked_by, position) AS place,
        count(*) OVER (PARTITION BY run, seed, step, response_id) AS n_tokens
    FROM scored
),
grouped AS (
    SELECT *, unnest(
        ['all']
        || if(place <= partition_size($p, n_tokens), ['anchor'], [])
        || if(place > n_tokens - partition_size($p, n_tokens), ['explorer'], [])
    ) AS part
    FROM placed
)
SELECT
    run, seed, step, part, score,
    avg(value::DOUBLE) AS mean,
    stddev_samp(value::DOUBLE) AS within,
    count(*) AS tokens
FROM (
    UNPIVOT grouped
    ON entropy_norm, entropy_raw, entropy_topk, entropy_fixed
    INTO NAME score VALUE value
)
GROUP BY run, seed, step, part, score
ORDER BY run, seed, step, part, score;
