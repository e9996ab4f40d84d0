-- Mean over responses of every support statistic, for each base policy, layer, score and part.
WITH scored AS (
    SELECT
        seed AS base, layer, response_id, position,
        support_50, support_80, support_90, support_95, distance, local_mass,
        unnest(['normalised', 'raw', 'first n', 'top-k']) AS score,
        unnest([entropy_norm, entropy_raw, if(position < $first_n, entropy_raw, NULL), entropy_topk]) AS value
    FROM attention
    WHERE support_50 IS NOT NULL
),
placed AS (
    SELECT
        *,
        row_number() OVER (ranking ORDER BY value, position) AS place,
        -- A hash of its place in the data chooses the random tokens.
        row_number() OVER (ranking ORDER BY md5(response_id || '/' || position), position) AS chance,
        count(*) OVER ranking AS n
    FROM scored
    WHERE value IS NOT NULL
    WINDOW ranking AS (PARTITION BY base, layer, score, response_id)
),
parted AS (
    SELECT *, 'anchors' AS part FROM placed WHERE place <= partition_size($p, n)
    UNION ALL
    SELECT *, 'explorers' FROM placed WHERE place > n - partition_size($p, n)
    UNION ALL
    SELECT *, 'random' FROM placed WHERE chance <= partition_size($p, n)
    UNION ALL
    SELECT *, 'all' FROM placed
),
valued AS (
    SELECT
        base, layer, score, part, response_id, position,
        unnest(['50 %', '80 %', '90 %', '95 %', 'distance', 'local mass', 'non-local mass']) AS statistic,
        unnest([
            support_50::DOUBLE, support_80::DOUBLE, support_90::DOUBLE, support_95::DOUBLE,
            distance::DOUBLE, local_mass::DOUBLE, 1 - local_mass::DOUBLE
        ]) AS value
    FROM parted
),
by_response AS (
    SELECT
        base, layer, score, part, statistic, response_id,
        avg(value ORDER BY position) AS value,
        count(*) AS tokens
    FROM valued
    GROUP BY base, layer, score, part, statistic, response_id
)
SELECT
    base, layer, score, part, statistic,
    avg(value ORDER BY response_id) AS mean,
    stddev_samp(value ORDER BY response_id) AS sd,
    count(*) AS responses,
    sum(tokens)::BIGINT AS tokens
FROM by_response
GROUP BY base, layer, score, part, statistic
ORDER BY
    base, layer, list_position(['normalised', 'raw', 'first n', 'top-k'], score),
    list_position(['anchors', 'explorers', 'random', 'all'], part),
    list_position(['50 %', '80 %', '90 %', '95 %', 'distance', 'local mass', 'non-local mass'], statistic);
