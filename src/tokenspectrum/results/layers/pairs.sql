-- How far two rankings of the same response tokens agree, for every pair of layers of a base policy, and of each layer
-- with predictive entropy, which is ranked as one more layer after the last.  The probe's seed names the base policy.
-- Of some responses, a row a response and pair.  Within a response: one stable ascending sort by (score, position); anchors are the first k, explorers the last k.
WITH scored AS (
    SELECT
        seed AS base, layer, response_id, position,
        CASE $score WHEN 'entropy_norm' THEN entropy_norm WHEN 'entropy_raw' THEN entropy_raw
            ELSE error('layers: score is entropy_norm or entropy_raw') END AS value
    FROM attention
    WHERE seed = $base AND response_id BETWEEN $first AND $last
    UNION ALL
    SELECT seed, 1 + $deepest, response_id, position, predictive_entropy
    FROM tokens
    WHERE seed = $base AND response_id BETWEEN $first AND $last
),
placed AS (
    SELECT
        s.*,
        row_number() OVER (PARTITION BY s.base, s.layer, s.response_id ORDER BY s.value, s.position) AS place
    FROM scored AS s
),
-- A tie has the mean of its places as rank.
ranked AS (
    SELECT p.*, avg(p.place) OVER (PARTITION BY p.base, p.layer, p.response_id, p.value) AS rank
    FROM placed AS p
),
-- A row a response and layer.  Masks are lists of 0 and 1, and ranks lose their mean: inner products count and correlate.
grouped AS (
    SELECT
        base, layer, response_id, count(*) AS n, partition_size($p, n)::BIGINT AS k,
        list(place ORDER BY position) AS places,
        list(rank ORDER BY position) AS ranks
    FROM ranked
    GROUP BY base, layer, response_id
),
listed AS (
    SELECT
        base, layer, response_id, n, k,
        list_transform(places, lambda place: (place <= k)::FLOAT) AS anchors,
        list_transform(places, lambda place: (place > n - k)::FLOAT) AS explorers,
        list_transform(ranks, lambda rank: rank - (n + 1) / 2) AS ranks
    FROM grouped
)
SELECT
    a.base, a.layer, b.layer AS other, a.response_id, a.n, a.k,
    list_inner_product(a.anchors, b.anchors)::DOUBLE AS both_anchor,
    list_inner_product(a.explorers, b.explorers)::DOUBLE AS both_explorer,
    -- null where one of them is the same score throughout
    list_inner_product(a.ranks, b.ranks) / nullif(
        sqrt(list_inner_product(a.ranks, a.ranks) * list_inner_product(b.ranks, b.ranks)), 0) AS spearman
FROM listed AS a
JOIN listed AS b ON a.base = b.base AND a.response_id = b.response_id AND a.layer < b.layer;
