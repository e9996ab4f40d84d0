-- What anchors and explorers by each layer's own score are like: support of their attention, distance and local mass,
-- as means over responses of means over their tokens; and the gradient geometry of those masks.
WITH placed AS (
    SELECT
        seed AS base, layer, response_id, position, support_80, distance, local_mass,
        row_number() OVER ranking AS place,
        count(*) OVER (PARTITION BY seed, layer, response_id) AS n
    FROM attention
    WINDOW ranking AS (
        PARTITION BY seed, layer, response_id
        ORDER BY CASE $score WHEN 'entropy_norm' THEN entropy_norm ELSE entropy_raw END, position
    )
),
parted AS (
    SELECT *, 'anchors' AS part FROM placed WHERE place <= partition_size($p, n)
    UNION ALL
    SELECT *, 'explorers' FROM placed WHERE place > n - partition_size($p, n)
    UNION ALL
    SELECT *, 'all' FROM placed
),
valued AS (
    SELECT
        base, layer, part, response_id, position,
        unnest(['support_80', 'distance', 'local_mass']) AS measure,
        unnest([support_80::DOUBLE, distance::DOUBLE, local_mass::DOUBLE]) AS value
    FROM parted
),
by_response AS (
    SELECT base, layer, part, measure, response_id, avg(value ORDER BY position) AS value
    FROM valued
    WHERE value IS NOT NULL
    GROUP BY base, layer, part, measure, response_id
),
supported AS (
    SELECT
        base, layer, part, measure,
        avg(value ORDER BY response_id) AS value,
        stddev_samp(value ORDER BY response_id) AS sd,
        count(*) AS responses
    FROM by_response
    GROUP BY base, layer, part, measure
),
geometry AS (
    SELECT
        seed AS base, layer, split_part(subset, '_l', 1) AS part,
        unnest(['norm_ratio', 'cosine', 'proj_ratio']) AS measure,
        -- The norm under the subset's own denominator, the others under that of all tokens.
        unnest([if(denominator = 'selected', norm_ratio, NULL), cosine, proj_ratio]) AS value,
        denominator
    FROM gradients
    WHERE regexp_matches(subset, '^(anchors|explorers)_l[0-9]+$')
)
SELECT base, layer::VARCHAR AS layer, part, measure, value, sd, responses FROM supported
UNION ALL
SELECT base, layer::VARCHAR, part, measure, value, NULL, NULL
FROM geometry
WHERE denominator = if(measure = 'norm_ratio', 'selected', 'all')
ORDER BY
    base, layer::INTEGER,
    list_position(['support_80', 'distance', 'local_mass', 'norm_ratio', 'cosine', 'proj_ratio'], measure),
    list_position(['anchors', 'explorers', 'all'], part);
