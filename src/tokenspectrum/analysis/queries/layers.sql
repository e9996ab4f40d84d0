-- How far two rankings of the same response tokens agree, for every pair of layers, and of each layer with predictive
-- entropy, which is ranked as one more layer after the last.
-- Within a response: one stable ascending sort by (score, position); anchors are the first k, explorers the last k.
WITH scored AS (
    SELECT
        response_id, position, layer, layer::VARCHAR AS name,
        CASE $score WHEN 'entropy_norm' THEN entropy_norm WHEN 'entropy_raw' THEN entropy_raw
            ELSE error('layers: score is entropy_norm or entropy_raw') END AS value
    FROM attention
    UNION ALL
    SELECT response_id, position, 1 + (SELECT max(layer) FROM attention), 'predictive_entropy', predictive_entropy
    FROM tokens
),
ranked AS (
    SELECT
        s.*,
        row_number() OVER response_order AS place,
        -- a tie has the mean of its places
        rank() OVER score_order + (count(*) OVER ties - 1) / 2 AS mean_place,
        count(*) OVER response AS n
    FROM scored AS s
    WINDOW
        response AS (PARTITION BY s.layer, s.response_id),
        response_order AS (PARTITION BY s.layer, s.response_id ORDER BY s.value, s.position),
        score_order AS (PARTITION BY s.layer, s.response_id ORDER BY s.value),
        ties AS (PARTITION BY s.layer, s.response_id, s.value)
),
-- A row a response and ranking: masks as 0 and 1 and ranks less their mean, so that inner products count and correlate.
listed AS (
    SELECT
        layer, name, response_id, n, partition_size($p, n)::BIGINT AS k,
        list((place <= partition_size($p, n))::FLOAT ORDER BY position) AS anchors,
        list((place > n - partition_size($p, n))::FLOAT ORDER BY position) AS explorers,
        list((mean_place - (n + 1) / 2)::DOUBLE ORDER BY position) AS ranks
    FROM ranked
    GROUP BY layer, name, response_id, n
),
-- Two random masks of k of n: the overlap is hypergeometric.  Its mean, and the mean Jaccard, sum i / (2 k - i) P(i).
random_pair AS (
    SELECT
        n, k,
        k * k / n AS overlap,
        sum(i / (2 * k - i) * exp(
            2 * (lgamma(k + 1) + lgamma(n - k + 1) - lgamma(k - i + 1))
            - lgamma(i + 1) - lgamma(n - 2 * k + i + 1) - lgamma(n + 1)
        ) ORDER BY i) AS jaccard
    FROM (
        SELECT n, k, unnest(generate_series(greatest(0, 2 * k - n), k)) AS i
        FROM (SELECT DISTINCT n, k FROM listed)
    )
    GROUP BY n, k
),
compared AS (
    SELECT
        a.layer, a.name, b.layer AS other_layer, b.name AS other, a.response_id, a.n, a.k,
        list_inner_product(a.anchors, b.anchors)::DOUBLE AS both_anchor,
        list_inner_product(a.explorers, b.explorers)::DOUBLE AS both_explorer,
        -- null where one of them is the same score throughout
        list_inner_product(a.ranks, b.ranks) / nullif(
            sqrt(list_inner_product(a.ranks, a.ranks) * list_inner_product(b.ranks, b.ranks)), 0) AS spearman
    FROM listed AS a
    JOIN listed AS b ON a.response_id = b.response_id AND a.layer < b.layer
)
SELECT
    name,
    other,
    count(*) AS responses,
    sum(n)::BIGINT AS tokens,
    avg(both_anchor / (2 * k - both_anchor) ORDER BY response_id) AS anchor_jaccard,
    sum(both_anchor) / sum(2 * k - both_anchor) AS anchor_jaccard_pooled,
    avg(both_explorer / (2 * k - both_explorer) ORDER BY response_id) AS explorer_jaccard,
    sum(both_explorer) / sum(2 * k - both_explorer) AS explorer_jaccard_pooled,
    avg(jaccard ORDER BY response_id) AS random_jaccard,
    sum(overlap ORDER BY response_id) / sum(2 * k - overlap ORDER BY response_id) AS random_jaccard_pooled,
    avg(spearman ORDER BY response_id) AS spearman,
    count(spearman) AS spearman_responses
FROM compared
JOIN random_pair USING (n, k)
GROUP BY layer, name, other_layer, other
ORDER BY layer, other_layer;
