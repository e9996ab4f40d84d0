-- How the gradients of each layer's anchors and explorers lie to that of all tokens.
WITH geometry AS (
    SELECT
        seed AS base, layer, split_part(subset, '_l', 1) AS part,
        unnest(['norm_ratio', 'cosine', 'proj_ratio']) AS measure,
        -- The norm under the subset's own denominator, the others under that of all tokens.
        unnest([if(denominator = 'selected', norm_ratio, NULL), cosine, proj_ratio]) AS value,
        denominator
    FROM gradients
    WHERE regexp_matches(subset, '^(anchors|explorers)_l[0-9]+$')
)
SELECT base, layer::VARCHAR AS layer, part, measure, value, NULL AS sd, NULL AS responses
FROM geometry
WHERE denominator = if(measure = 'norm_ratio', 'selected', 'all');
