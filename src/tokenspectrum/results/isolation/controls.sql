-- Geometry of every named subset of the base policies under the denominator of all tokens.
SELECT seed AS base, subset, layer, tokens, norm_ratio, cosine, proj_ratio, overlap
FROM gradients
WHERE denominator = 'all' AND run = 'base'
ORDER BY seed, subset;
