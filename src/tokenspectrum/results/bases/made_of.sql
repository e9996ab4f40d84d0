-- What anchors, explorers and all tokens are made of, on each base policy and layer: shares of types, fifths of the
-- response, forks, and the most frequent tokens.  The probe's column seed is the number of the base policy.
WITH ranked AS (
    SELECT
        seed AS base, layer, response_id, position,
        row_number() OVER (
            PARTITION BY seed, layer, response_id
            ORDER BY CASE $score WHEN 'entropy_norm' THEN entropy_norm ELSE entropy_raw END, position
        ) AS place,
        count(*) OVER (PARTITION BY seed, layer, response_id) AS n
    FROM attention
),
described AS (
    SELECT
        t.seed AS base, t.response_id, t.position, v.type, v.text,
        5 * t.position // count(*) OVER (PARTITION BY t.seed, t.response_id) AS fifth,
        row_number() OVER (
            PARTITION BY t.seed ORDER BY t.predictive_entropy DESC, t.response_id, t.position
        ) <= partition_size($p, count(*) OVER (PARTITION BY t.seed)) AS fork
    FROM tokens AS t
    JOIN vocab AS v USING (token_id)
),
parted AS (
    SELECT base, layer, response_id, position, 'anchors' AS part
    FROM ranked
    WHERE place <= partition_size($p, n)
    UNION ALL
    SELECT base, layer, response_id, position, 'explorers'
    FROM ranked
    WHERE place > n - partition_size($p, n)
    UNION ALL
    SELECT base, NULL, response_id, position, 'all'
    FROM described
),
kinds AS (
    SELECT
        p.base, p.part, p.layer,
        unnest(['type', 'position', 'fork', 'token']) AS aspect,
        unnest([
            d.type,
            ['first fifth', 'second fifth', 'third fifth', 'fourth fifth', 'last fifth'][d.fifth + 1],
            if(d.fork, 'fork', 'no fork'),
            d.text
        ]) AS value
    FROM parted AS p
    JOIN described AS d USING (base, response_id, position)
),
counted AS (
    SELECT base, part, layer, aspect, value, count(*) AS n FROM kinds GROUP BY ALL
),
shares AS (
    SELECT
        *,
        100 * n / sum(n) OVER (PARTITION BY base, part, layer, aspect) AS percent,
        sum(n) OVER (PARTITION BY base, part, layer, aspect)::BIGINT AS tokens,
        row_number() OVER (PARTITION BY base, part, layer, aspect ORDER BY n DESC, value) AS place
    FROM counted
)
SELECT base, part, layer, aspect, value, percent, tokens AS n
FROM shares
WHERE (aspect <> 'token' OR place <= $frequent) AND value <> 'no fork'
ORDER BY
    base, layer NULLS FIRST, part, list_position(['type', 'position', 'fork', 'token'], aspect),
    CASE aspect
        WHEN 'position' THEN list_position(['first', 'second', 'third', 'fourth', 'last'], split_part(value, ' ', 1))
        ELSE -n
    END,
    value;
