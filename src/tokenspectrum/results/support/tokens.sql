-- The scores and statistics of some responses' tokens at a layer.
SELECT
    response_id, position, entropy_norm, entropy_raw, entropy_topk,
    support_50, support_80, support_90, support_95, distance, local_mass
FROM attention
WHERE seed = $base AND layer = $layer AND support_50 IS NOT NULL AND response_id BETWEEN $first AND $last;
