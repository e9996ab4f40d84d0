-- The scores and statistics of some responses' tokens at a layer.  A hash of its place in the data says how early a token
-- comes among those that chance takes.
SELECT
    response_id, position, entropy_norm, entropy_raw, entropy_topk,
    support_50, support_80, support_90, support_95, distance, local_mass,
    (md5_number(response_id || '/' || position) & 18446744073709551615)::UBIGINT AS chance
FROM attention
WHERE seed = $base AND layer = $layer AND support_50 IS NOT NULL AND response_id BETWEEN $first AND $last;
