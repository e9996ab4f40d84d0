-- Every scoring of a base policy's probe beside the base policy's own: overlap of the places, or change by bin.
-- run and seed are the scoring policy's; of run base, seed is the base policy that scores.
WITH own AS (
    SELECT seed AS base, response_id, position, predictive_entropy AS before FROM tokens WHERE run = 'base'
),
paired AS (
    SELECT
        r.run, r.seed, r.step, o.base, o.response_id, o.position, o.before,
        r.predictive_entropy AS after,
        CASE $scope WHEN 'response' THEN o.response_id END AS part
    FROM rescored AS r
    JOIN own AS o USING (base, response_id, position)
),
ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY run, seed, step, base, part ORDER BY before DESC, response_id, position) AS b,
        row_number() OVER (PARTITION BY run, seed, step, base, part ORDER BY after DESC, response_id, position) AS a,
        count(*) OVER (PARTITION BY run, seed, step, base, part) AS n,
        row_number() OVER (PARTITION BY run, seed, step, base ORDER BY before, response_id, position) - 1 AS place,
        count(*) OVER (PARTITION BY run, seed, step, base) AS total
    FROM paired
),
placed AS (
    SELECT
        *,
        b <= partition_size($p, n) AS high_before,
        a <= partition_size($p, n) AS high_after,
        floor(place * $bins / total)::INTEGER AS bin
    FROM ranked
)
SELECT
    run, seed, step, base, bin,
    count(*) AS tokens,
    sum(high_before::INTEGER)::BIGINT AS high,
    sum((high_before AND high_after)::INTEGER)::BIGINT AS shared,
    sum(high_before::INTEGER * partition_size($p, n) / n ORDER BY place) AS by_chance,
    avg(after::DOUBLE - before::DOUBLE ORDER BY place) AS change,
    avg(abs(after::DOUBLE - before::DOUBLE) ORDER BY place) AS absolute
FROM placed
GROUP BY run, seed, step, base, bin
ORDER BY run, seed, step, base, bin;
