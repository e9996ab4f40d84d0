-- Means over responses of every pair of layers of a base policy; the last layer is predictive entropy.
-- Two random masks of k of n: the overlap is hypergeometric.  Its mean, and the mean Jaccard, sum i / (2 k - i) P(i).
WITH random_pair AS (
    SELECT
        n, k,
        k * k / n AS overlap,
        sum(i / (2 * k - i) * exp(
            2 * (lgamma(k + 1) + lgamma(n - k + 1) - lgamma(k - i + 1))
            - lgamma(i + 1) - lgamma(n - 2 * k + i + 1) - lgamma(n + 1)
        ) ORDER BY i) AS jaccard
    FROM (
        SELECT n, k, unnest(generate_series(greatest(0, 2 * k - n), k)) AS i
        FROM (SELECT DISTINCT n, k FROM compared)
    )
    GROUP BY n, k
)
SELECT
    base,
    layer::VARCHAR AS layer,
    if(other > (SELECT max(layer) FROM compared), 'predictive_entropy', other::VARCHAR) AS other,
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
GROUP BY compared.base, compared.layer, compared.other
ORDER BY compared.base, compared.layer, compared.other;
