-- The scores and statistics of some responses' tokens at a layer.  A hash of its place in the data says how early a token
-- comes among those that chance takes.
SELECT
    response_id, position, entropy_norm, entropy_raw, entropy_topk,
    support_50::DOUBLE AS support_50, support_80::DOUBLE AS support_80, support_90::DOUBLE AS support_90,
    support_95::DOUBLE AS support_95, distance::DOUBLE AS distance, local_mass::DOUBLE AS local_mass,
    ('0x' || left(md5(response_id || '/' || position), 15))::BIGINT AS chance
FROM attention
WHERE seed = $base AND layer = $layer AND support_50 IS NOT NULL AND response_id BETWEEN $first AND $last
ORDER BY response_id, position;
